"""Graphs of a few nodes, written by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

FLOAT, FLOAT16, BFLOAT16, INT64 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.INT64


def model_of(
    nodes: Sequence[NodeProto],
    weights: dict[str, NDArray[np.generic]] | None = None,
    *,
    reads: tuple[str, ...] = ("batch", 4),  # type: ignore[assignment]
    makes: str = "coordinates",
    opset: int = 18,
    types: tuple[int, int] = (FLOAT, FLOAT),
) -> ModelProto:
    """A checked model from `pixels` of the given shape to one output of whatever shape."""
    for place, node in enumerate(nodes):
        node.name = node.name or f"{node.op_type}{place}"
    graph = helper.make_graph(
        list(nodes),
        "small",
        [helper.make_tensor_value_info("pixels", types[0], list(reads))],
        [helper.make_tensor_value_info(makes, types[1], None)],
        [numpy_helper.from_array(values, name) for name, values in (weights or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def block(width: int = 4, seed: int = 0) -> ModelProto:
    """A first convolution's stand-in, a normalisation, attention over the batch, an MLP with a residual, and a head."""
    rng = np.random.default_rng(seed)
    square = {f"w{i}": (rng.normal(size=(width, width)) / width**0.5).astype(np.float32) for i in range(4)}
    rest = {f"b{i}": (0.1 * rng.normal(size=width)).astype(np.float32) for i in range(4)}
    ones = {"scale": np.full(width, 0.02, np.float32), "gain": np.ones(width, np.float32)}
    node = helper.make_node
    return model_of(
        [
            node("Mul", ["pixels", "scale"], ["scaled"]),
            node("MatMul", ["scaled", "w0"], ["stem"]),
            node("Add", ["stem", "b0"], ["residual"]),
            node("LayerNormalization", ["residual", "gain", "b1"], ["normal"]),
            node("Transpose", ["normal"], ["keys"], perm=[1, 0]),
            node("MatMul", ["normal", "keys"], ["logits"]),
            node("Softmax", ["logits"], ["weights"]),
            node("MatMul", ["weights", "normal"], ["mixed"]),
            node("MatMul", ["mixed", "w1"], ["hidden"]),
            node("Add", ["hidden", "b2"], ["biased"]),
            node("Erf", ["biased"], ["active"]),
            node("MatMul", ["active", "w2"], ["update"]),
            node("Add", ["update", "residual"], ["stream"]),
            node("LayerNormalization", ["stream", "gain", "b3"], ["last"]),
            node("MatMul", ["last", "w3"], ["coordinates"]),
        ],
        square | rest | ones,
        reads=("batch", width),
    )
