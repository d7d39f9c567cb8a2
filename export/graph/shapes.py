"""Shapes: of every tensor of a graph, with the batch's size known by its name wherever it is the batch's."""

from __future__ import annotations

import math

import onnx
from onnx import numpy_helper


def infer_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with the type and shape of every tensor; what was noted of them before is forgotten.

    Raises:
        onnx.shape_inference.InferenceError: types or shapes contradict each other.
    """
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(bare, check_type=True, strict_mode=True, data_prop=True)


def tensor_shapes(model: onnx.ModelProto) -> dict[str, list[int | str]]:
    """Tensor -> its axes, for every tensor whose shape the graph tells: sizes, or names of dynamic ones."""
    found = {}
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        kind = value.type.tensor_type
        if kind.HasField("shape"):
            found[value.name] = [axis.dim_param or axis.dim_value for axis in kind.shape.dim]
    return found


def copy_first_axes(model: onnx.ModelProto) -> None:
    """Let a Reshape copy its first axis (0) where the exporter lets it be inferred (-1) and that is the same.

    An axis that is inferred hides from shape inference, and from a parser, that it is the batch.

    Args:
        model: changed in place.
    """
    shapes = tensor_shapes(infer_shapes(model))
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    made: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type != "Reshape" or node.input[1] not in weights:
            continue
        wanted = numpy_helper.to_array(weights[node.input[1]])
        rest = shapes.get(node.input[0], [])[1:]
        if not rest or not all(isinstance(size, int) for size in rest) or wanted[0] != -1 or (wanted[1:] < 1).any():
            continue
        if math.prod(size for size in rest if isinstance(size, int)) != math.prod(wanted[1:].tolist()):
            continue
        if node.input[1] not in made:
            made[node.input[1]] = f"{node.input[1]}_copied"
            wanted = wanted.copy()
            wanted[0] = 0
            model.graph.initializer.append(numpy_helper.from_array(wanted, made[node.input[1]]))
        node.input[1] = made[node.input[1]]
        for attribute in [attribute for attribute in node.attribute if attribute.name == "allowzero"]:
            node.attribute.remove(attribute)
