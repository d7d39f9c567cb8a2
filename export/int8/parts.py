"""A stretch of a graph as a graph of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray
from onnx import ModelProto, ValueInfoProto, helper


def crossing(model: ModelProto, place: int) -> list[str]:
    """Tensors that nodes before `place` make, or the graph takes, and that are needed from `place` on."""
    graph = model.graph
    needed = {name for node in graph.node[place:] for name in node.input} | {value.name for value in graph.output}
    made = [value.name for value in graph.input] + [name for node in graph.node[:place] for name in node.output]
    return [name for name in made if name and name in needed]


def stretch(model: ModelProto, start: int, stop: int, values: Mapping[str, NDArray[Any]]) -> ModelProto:
    """Nodes from `start` up to `stop`, which is not among them.

    Its inputs are those of `crossing(model, start)` that it reads, its outputs those of `crossing(model, stop)` that it
    makes.

    Args:
        model: with nodes in an order in which they can run, and no graphs within the graph.
        start, stop: places of nodes.
        values: of the tensors of `crossing(model, start)`: they give the inputs their types and ranks.
    """
    graph = model.graph
    nodes = graph.node[start:stop]
    read, made = {name for node in nodes for name in node.input}, {name for node in nodes for name in node.output}
    inputs = [_input(name, values[name]) for name in crossing(model, start) if name in read]
    # ONNX Runtime infers the types of outputs itself.
    outputs = [ValueInfoProto(name=name) for name in crossing(model, stop) if name in made]
    weights = [tensor for tensor in graph.initializer if tensor.name in read]
    part = helper.make_graph(nodes, f"{graph.name} from {start} to {stop}", inputs, outputs, weights)
    return helper.make_model(part, opset_imports=model.opset_import, ir_version=model.ir_version)


def _input(name: str, values: NDArray[Any]) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(values.dtype), [None] * values.ndim)
