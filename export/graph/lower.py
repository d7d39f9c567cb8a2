"""A graph for older parsers: operators of a lower opset that compute the same.

The exporter writes opset 18 and above. TensorRT 8.6 reads 17 and 8.5 reads 16, which has no LayerNormalization.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import helper, numpy_helper

from reid.errors import UserError

LEAST = 16

_Weights = dict[str, onnx.TensorProto]
_Rewrite = Callable[[onnx.NodeProto, _Weights], list[onnx.NodeProto]]


def lower(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """The graph in this opset; itself if it is not above it.

    Raises:
        UserError: a node has no equal there.
    """
    written = written_opset(model)
    if opset >= written:
        return model
    made = onnx.ModelProto()
    made.CopyFrom(model)
    weights: _Weights = {tensor.name: tensor for tensor in made.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in made.graph.node:
        nodes += _lowered(node, written, opset, weights)
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    del made.graph.initializer[:]
    made.graph.initializer.extend(tensor for name, tensor in weights.items() if name in used)
    del made.opset_import[:]
    made.opset_import.append(helper.make_opsetid("", opset))
    return made


def written_opset(model: onnx.ModelProto) -> int:
    """The opset of ONNX's own operators that a graph says it is in; 0 if it does not say."""
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)


def _lowered(node: onnx.NodeProto, written: int, opset: int, weights: _Weights) -> list[onnx.NodeProto]:
    if _since(node.op_type, opset) == _since(node.op_type, written):
        return [node]
    rewrite = _REWRITES.get(node.op_type)
    found = rewrite(node, weights) if rewrite else []
    if not found or any(_since(part.op_type, opset) == 0 for part in found):
        raise UserError(f"{node.name}: opset {opset} has no such {node.op_type}; take opset {written}")
    return found


def _since(op_type: str, opset: int) -> int:
    """The opset in which an operator got the form that it has in `opset`; 0 if it is not in it."""
    try:
        return int(onnx.defs.get_schema(op_type, opset).since_version)
    except onnx.defs.SchemaError:
        return 0


def _axes_as_attribute(node: onnx.NodeProto, weights: _Weights) -> list[onnx.NodeProto]:
    """Reductions name their axes in an input since opset 18, and in an attribute before."""
    if len(node.input) > 1 and node.input[1]:
        if node.input[1] not in weights:
            return []
        axes = numpy_helper.to_array(weights[node.input[1]]).tolist()
        node.attribute.append(helper.make_attribute("axes", [int(axis) for axis in axes]))
    node.input[:] = node.input[:1]
    for attribute in [attribute for attribute in node.attribute if attribute.name == "noop_with_empty_axes"]:
        node.attribute.remove(attribute)
    return [node]


def _without_axes(node: onnx.NodeProto, weights: _Weights) -> list[onnx.NodeProto]:
    """Pad can name its axes since opset 18; without them it is what it was."""
    return [] if len(node.input) > 3 and node.input[3] else [node]


def _layer_normalisation(node: onnx.NodeProto, weights: _Weights) -> list[onnx.NodeProto]:
    """Over the last axis, as its definition writes it out."""
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    if attributes.get("axis", -1) != -1 or len(node.output) > 1:
        return []
    scope, (given,) = node.name, node.output
    epsilon = f"{scope}.epsilon"
    weights[epsilon] = numpy_helper.from_array(np.array(attributes.get("epsilon", 1e-5), dtype=np.float32), epsilon)
    steps = [
        ("ReduceMean", (node.input[0],), "mean"),
        ("Sub", (node.input[0], "mean"), "centred"),
        ("Mul", ("centred", "centred"), "squared"),
        ("ReduceMean", ("squared",), "variance"),
        ("Add", ("variance", epsilon), "raised"),
        ("Sqrt", ("raised",), "deviation"),
        ("Div", ("centred", "deviation"), "normalised"),
        ("Mul", ("normalised", node.input[1]), "scaled"),
        ("Add", ("scaled", node.input[2]), "shifted"),
    ]
    # Without a shift the last step is left out.
    steps = steps if len(node.input) > 2 and node.input[2] else steps[:-1]
    own = {name: f"{scope}/{name}" for _, _, name in steps}
    own[steps[-1][2]] = given
    made = []
    for op_type, inputs, name in steps:
        step = helper.make_node(op_type, [own.get(used, used) for used in inputs], [own[name]], f"{scope}/{name}")
        if op_type == "ReduceMean":
            step.attribute.append(helper.make_attribute("axes", [-1]))
        made.append(step)
    return made


_REDUCTIONS = ("ReduceMean", "ReduceL2", "ReduceL1", "ReduceMax", "ReduceMin", "ReduceSumSquare", "ReduceProd")
_REWRITES: dict[str, _Rewrite] = {
    **dict.fromkeys(_REDUCTIONS, _axes_as_attribute),
    "Pad": _without_axes,
    "LayerNormalization": _layer_normalisation,
}
"""Operator -> what stands for it in a lower opset; nothing if this node has no equal."""
