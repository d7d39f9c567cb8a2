"""The two ends of a graph, which stay in float32: from pixels to the first weights, and the head."""

from __future__ import annotations

from onnx import ModelProto, NodeProto, TensorProto

from export.precision.wiring import consumers, producers

WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
"""Operators that hold a layer's weights."""


def first_nodes(model: ModelProto) -> set[str]:
    """Names of the nodes from floating-point inputs to the first weights: pixels from 0 to 255 are normalised there.

    They put each channel to unit scale by a multiplication and a subtraction of numbers of the same size, where
    11 bits would lose what an image's dark parts hold.
    """
    reading = consumers(model.graph)
    found: set[str] = set()
    front = [v.name for v in model.graph.input if v.type.tensor_type.elem_type == TensorProto.FLOAT]
    while front:
        for node in reading.get(front.pop(), []):
            if node.op_type not in WEIGHTED | {"Shape", "Size"} and node.name not in found:
                found.add(node.name)
                front += node.output
    return found if _stops_early(model, found) else set()


def head_nodes(model: ModelProto) -> set[str]:
    """Names of the nodes from the last normalisation, or behind the last but one weights, to each output."""
    making = producers(model.graph)
    constants = {t.name for t in model.graph.initializer if t.data_type == TensorProto.FLOAT}
    found: set[str] = set()
    front = [(making[value.name], 0) for value in model.graph.output if value.name in making]
    while front:
        node, passed = front.pop(0)
        passed += node.op_type in WEIGHTED and not constants.isdisjoint(node.input)
        if node.name in found or passed > 1:
            continue
        found.add(node.name)
        if node.op_type != "LayerNormalization":
            front += [(making[name], passed) for name in node.input if name in making]
    return found


def _stops_early(model: ModelProto, found: set[str]) -> bool:
    """Whether the walk met weights before the end: a graph without any is all of one piece, and has no ends."""
    return any(node.op_type in WEIGHTED and node.name not in found for node in model.graph.node)


def named_once(model: ModelProto) -> dict[str, NodeProto]:
    """Nodes by name.

    Raises:
        ValueError: one has no name, or two have the same.
    """
    by_name = {node.name: node for node in model.graph.node}
    if "" in by_name or len(by_name) != len(model.graph.node):
        raise ValueError(f"{model.graph.name}: nodes need names, each its own, to be told apart in a choice of types")
    return by_name
