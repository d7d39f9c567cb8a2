"""The layers of a graph that INT8 is for: a matrix product or a convolution with weights."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from onnx import ModelProto, NodeProto, TensorProto, helper

from export.precision.borders import head_nodes

_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)
_SEVERAL = 3
"""Names that a message lists."""


@dataclass(frozen=True)
class Layer:
    """A node with weights.

    Attributes:
        node: its name. kind: "MatMul", "Gemm" or "Conv".
        tensor: the activation that it reads.
        weight: the initialiser. axis: the weight's axis of output channels.
        elements, channels: numbers in the weight, and output channels.
    """

    node: str
    kind: str
    tensor: str
    weight: str
    axis: int
    elements: int
    channels: int

    @property
    def int8_bytes(self) -> int:
        """Of the weight as int8, with a float32 scale and an int8 zero point for each channel."""
        return self.elements + 5 * self.channels

    def cost(self, typed: str) -> int:
        """Bytes by which a graph grows if this layer's weight stays in "fp16" or "fp32"."""
        return self.elements * (2 if typed == "fp16" else 4) - self.int8_bytes


def weighted_layers(model: ModelProto) -> tuple[Layer, ...]:
    """Every layer, in graph order.

    The products of attention, queries with keys and weights with values, are none: both sides are activations, and
    INT8 there costs accuracy for a twentieth of the arithmetic.

    Raises:
        ValueError: two nodes have the same name, or one of these has none.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    layers = [_layer(node, weights) for node in model.graph.node]
    found = tuple(layer for layer in layers if layer is not None)
    names = [layer.node for layer in found]
    if len(set(names)) < len(names) or "" in names:
        raise ValueError(f"{model.graph.name}: nodes with weights need names, each its own")
    return found


def chosen_layers(model: ModelProto, keep: Collection[str] = ()) -> tuple[Layer, ...]:
    """Every layer but the head and those whose node is in `keep`, in graph order.

    The head reads one vector per image, so it costs no time; and it alone was a third of what INT8 lost on `vit-s`.

    Raises:
        ValueError: `keep` names a node that is no layer.
    """
    layers, head = weighted_layers(model), head_nodes(model)
    strangers = sorted(set(keep) - {layer.node for layer in layers})
    if strangers:
        known = ", ".join(layer.node for layer in layers[:_SEVERAL])
        raise ValueError(
            f"{model.graph.name}: has no layer with weights called {strangers[0]!r}; they are {known}, ..."
        )
    return tuple(layer for layer in layers if layer.node not in keep and layer.node not in head)


def _layer(node: NodeProto, weights: dict[str, TensorProto]) -> Layer | None:
    if node.op_type not in ("MatMul", "Gemm", "Conv") or node.input[0] in weights or node.input[1] not in weights:
        return None
    weight = weights[node.input[1]]
    if weight.data_type not in _FLOATS or (node.op_type == "MatMul" and len(weight.dims) != 2):
        return None
    axis, elements = 0, 1
    if node.op_type != "Conv":
        transposed = next((helper.get_attribute_value(a) for a in node.attribute if a.name == "transB"), 0)
        axis = 0 if transposed else 1
    for length in weight.dims:
        elements *= length
    return Layer(node.name, node.op_type, node.input[0], node.input[1], axis, elements, weight.dims[axis])
