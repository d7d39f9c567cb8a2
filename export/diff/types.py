"""In which type each node of a graph computes."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx import NodeProto, TensorProto

from export.precision.wiring import element_types, inferred, producers
from reid.errors import UserError

CHANGERS = frozenset({"Cast", "CastLike", "QuantizeLinear", "DequantizeLinear"})
"""Operators that change a type and compute nothing."""
_NAMES: dict[int, str] = {
    TensorProto.FLOAT: "fp32",
    TensorProto.FLOAT16: "fp16",
    TensorProto.BFLOAT16: "bf16",
    TensorProto.DOUBLE: "fp64",
    TensorProto.INT8: "int8",
    TensorProto.UINT8: "uint8",
}


@dataclass(frozen=True)
class Layer:
    """A node.

    Attributes:
        name: of the node, or of its first output if it has none. op: its operator. output: its first tensor.
        type: in which it computes: "fp32", "fp16", ..., "int8" if what it takes in comes from 8 bits.
    """

    name: str
    op: str
    output: str
    type: str


def layers_of(model: onnx.ModelProto, where: str) -> tuple[dict[str, Layer], int]:
    """The nodes of a graph that compute with fractions, by name and in its order, and how many only change types.

    Args:
        model: the graph. where: names it in the error.

    Raises:
        UserError: types cannot be told.
    """
    try:
        typed = inferred(model)
    except ValueError as error:
        raise UserError(f"{where}: {error}; export it again") from error
    types, made_by = element_types(typed), producers(typed.graph)
    layers: dict[str, Layer] = {}
    changers = 0
    for node in typed.graph.node:
        if node.op_type in CHANGERS:
            changers += 1
        elif (code := types[node.output[0]]) in _NAMES:
            kind = "int8" if _from_8_bits(node, made_by) else _NAMES[code]
            layer = Layer(node.name or node.output[0], node.op_type, node.output[0], kind)
            layers[layer.name] = layer
    return layers, changers


def _from_8_bits(node: NodeProto, made_by: dict[str, NodeProto]) -> bool:
    """Whether the two operands of a product or convolution are dequantised, perhaps after a change of float type."""
    if node.op_type not in ("MatMul", "Gemm", "Conv"):
        return False

    def quantised(name: str) -> bool:
        maker = made_by.get(name)
        while maker is not None and maker.op_type in ("Cast", "Transpose", "Reshape"):
            maker = made_by.get(maker.input[0])
        return maker is not None and maker.op_type == "DequantizeLinear"

    return all(quantised(name) for name in node.input[:2])
