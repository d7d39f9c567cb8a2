"""What weights weigh, and what it costs to keep nodes in float32."""

from __future__ import annotations

import math
from collections.abc import Collection

from onnx import ModelProto, TensorProto, helper

from export.precision.wiring import lift_constants


def weight_bytes(model: ModelProto) -> int:
    """Of all weights and constants of a graph, each in its type."""
    return sum(_bytes(tensor) for tensor in lift_constants(model).graph.initializer)


def extra_bytes(model: ModelProto, kept: Collection[str]) -> dict[str, int]:
    """Bytes that each node costs more if a float32 graph keeps it in float32 than in 16 bits, by name.

    Weights that several nodes share count for the first.
    """
    model = lift_constants(model)
    left = {tensor.name: _bytes(tensor) for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT}
    wanted = set(kept)
    return {
        node.name: sum(left.pop(name, 0) for name in node.input) // 2
        for node in model.graph.node
        if node.name in wanted
    }


def in_words(count: int) -> str:
    """Bytes as a person reads them: 1.5 MB."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def _bytes(tensor: TensorProto) -> int:
    count: int = math.prod(tensor.dims)
    if tensor.data_type in (TensorProto.INT4, TensorProto.UINT4):
        return -(-count // 2)
    return count * int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
