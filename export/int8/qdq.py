"""Q/DQ nodes: int8 weights for each channel, and activations that are rounded before a layer reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from export.int8.calibration import Range
from export.int8.layers import Layer

Activations = Literal["int8", "uint8"]
"""int8: symmetric, zero point 0, all that TensorRT takes. uint8: from the least to the greatest value, which the
products of CPUs take faster."""
_HALF_OPSET = 19
"""Q and DQ take fp16 from this opset on."""
_DTYPES: Mapping[int, Any] = {TensorProto.FLOAT: np.float32, TensorProto.FLOAT16: np.float16}


def insert(
    model: ModelProto, layers: Sequence[Layer], ranges: Mapping[str, Range], *, activations: Activations = "int8"
) -> ModelProto:
    """A copy in which these layers compute on int8.

    A layer's weight becomes int8 with a scale for each output channel; what it reads passes through Q and DQ, once for
    all layers that read it. Biases stay as they are: TensorRT refuses int32 ones. A layer in fp16 gets scales in fp16.

    Args:
        model: typed: fp32, or with parts in fp16.
        layers: of it. ranges: by `Layer.tensor`.

    Raises:
        KeyError: a tensor has no range.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    of_node = {layer.node: layer for layer in layers}
    rounded: dict[tuple[str, int], str] = {}
    nodes: list[NodeProto] = []
    added: list[TensorProto] = []
    for original in model.graph.node:
        node = NodeProto()
        node.CopyFrom(original)
        layer = of_node.get(node.name)
        if layer is not None:
            dtype = weights[layer.weight].data_type
            reads, weight = (node.input[0], dtype), (layer.weight, layer.axis)
            if reads not in rounded:
                nodes += _activation(added, node.input[0], ranges[layer.tensor], dtype, activations)
                rounded[reads] = nodes[-1].output[0]
            if weight not in rounded:
                nodes.append(_weight(added, weights[layer.weight], layer.axis))
                rounded[weight] = nodes[-1].output[0]
            node.input[0], node.input[1] = rounded[reads], rounded[weight]
        nodes.append(node)
    made = _with_nodes(model, nodes, added)
    if any(weights[layer.weight].data_type == TensorProto.FLOAT16 for layer in layers):
        _raise_opset(made, _HALF_OPSET)
    return made


def weight_scales(values: NDArray[np.floating], axis: int, dtype: Any = np.float32) -> NDArray[Any]:
    """[channels] scales that map the largest magnitude of each output channel to 127; 1 where all weights are 0."""
    largest = np.abs(values.astype(np.float64)).max(axis=tuple(i for i in range(values.ndim) if i != axis))
    return _scale(largest / 127, dtype)


def _scale(exact: NDArray[np.float64], dtype: Any) -> NDArray[Any]:
    """Scales in `dtype`, never below the exact ones, or the largest value would be cut; 1 for 0."""
    finfo = np.finfo(dtype)
    # Below the smallest normal number fp16 has few digits left, and some devices none.
    cast = np.clip(np.where(exact > 0, exact, 1.0), float(finfo.smallest_normal), float(finfo.max)).astype(dtype)
    return np.asarray(np.where(cast < exact, np.nextafter(cast, dtype(np.inf)), cast), dtype=dtype)


def _activation(
    added: list[TensorProto], tensor: str, found: Range, dtype: int, activations: Activations
) -> list[NodeProto]:
    """Q and DQ after a tensor."""
    kind: Any = _DTYPES[dtype]
    if activations == "int8":
        scale, zero = _scale(np.array(found.largest / 127), kind), np.array(0, dtype=np.int8)
    else:
        # 0 must be exact: padding is 0.
        low, high = min(found.low, 0.0), max(found.high, 0.0)
        scale = _scale(np.array((high - low) / 255), kind)
        zero = np.array(np.clip(np.rint(-low / float(scale)), 0, 255), dtype=np.uint8)
    names = [_keep(added, f"{tensor}/scale", scale, dtype), _keep(added, f"{tensor}/zero_point", zero, dtype)]
    stem = f"{tensor}{_suffix(dtype)}"
    return [
        helper.make_node("QuantizeLinear", [tensor, *names], [f"{stem}/quantised"], f"{stem}/QuantizeLinear"),
        helper.make_node(
            "DequantizeLinear", [f"{stem}/quantised", *names], [f"{stem}/dequantised"], f"{stem}/DequantizeLinear"
        ),
    ]


def _weight(added: list[TensorProto], weight: TensorProto, axis: int) -> NodeProto:
    """DQ of a weight that is stored as int8."""
    values = numpy_helper.to_array(weight)
    scales = weight_scales(values, axis, _DTYPES[weight.data_type])
    shape = [-1 if i == axis else 1 for i in range(values.ndim)]
    steps = np.rint(values.astype(np.float64) / scales.astype(np.float64).reshape(shape))
    stem = f"{weight.name}/axis{axis}"
    inputs = [
        _keep(added, f"{stem}/int8", np.clip(steps, -127, 127).astype(np.int8)),
        _keep(added, f"{stem}/scale", scales),
        _keep(added, f"{stem}/zero_point", np.zeros(len(scales), dtype=np.int8)),
    ]
    return helper.make_node(
        "DequantizeLinear", inputs, [f"{stem}/dequantised"], f"{stem}/DequantizeLinear", axis=axis
    )  # fmt: skip


def _keep(added: list[TensorProto], name: str, values: NDArray[Any], dtype: int = TensorProto.FLOAT) -> str:
    """The name under which values become an initialiser."""
    added.append(numpy_helper.from_array(values, name + _suffix(dtype)))
    return name + _suffix(dtype)


def _suffix(dtype: int) -> str:
    """The same tensor may be read by layers of two types, if they cast it: then it has two pairs of Q and DQ."""
    return "" if dtype == TensorProto.FLOAT else "/fp16"


def _with_nodes(model: ModelProto, nodes: Sequence[NodeProto], added: Sequence[TensorProto]) -> ModelProto:
    """A copy with other nodes and more initialisers, without those that nothing reads any more."""
    made = ModelProto()
    made.CopyFrom(model)
    used = {name for node in nodes for name in node.input} | {value.name for value in model.graph.output}
    del made.graph.node[:]
    del made.graph.initializer[:]
    made.graph.node.extend(nodes)
    made.graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name in used)
    made.graph.initializer.extend(added)
    return made


def _raise_opset(made: ModelProto, least: int) -> None:
    for entry in made.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = max(entry.version, least)
