"""Whether a graph is one that every parser of ours takes."""

from __future__ import annotations

import onnx

from export.graph.lower import written_opset
from export.graph.shapes import infer_shapes, tensor_shapes
from export.session import COORDINATES
from reid.errors import UserError

NEWEST_IR = 10
"""The format's version that TensorRT 10 and ONNX Runtime 1.17 and newer read."""
REFUSED = {
    "Attention": "only some TensorRT versions have a kernel for it, and only in fp16",
    "Resize": "positions are to be constants",
    "If": "control flow",
    "Loop": "control flow",
    "Scan": "control flow",
}
"""Operators that a graph may not have -> why."""
_OWN = ("", "ai.onnx")
_FLOATS = onnx.TensorProto.FLOAT


def check_graph(model: onnx.ModelProto, *, opset: int | None, name: str) -> None:
    """Check a graph.

    It must pass ONNX's own checker with strict shape inference, be in the opset that was asked for, in a version of the
    format that is old enough, in one file, made of ONNX's own operators and of none in `REFUSED`; and its outputs must
    be float32 `coordinates` whose only unknown size is the batch.

    Args:
        model: the graph. opset: that was asked for; None: any.
        name: what to call it in an error.

    Raises:
        UserError: what does not hold, and where.
    """
    for problem in (_form(model, opset), _nodes(model)):
        if problem:
            raise UserError(f"{name}: {problem}; export it again")
    try:
        onnx.checker.check_model(model, full_check=True)
        inferred = infer_shapes(model)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        words = " ".join(str(error).split())[:300]
        raise UserError(f"{name}: ONNX's checker does not take it ({words}); export it again") from error
    if problem := _ends(inferred):
        raise UserError(f"{name}: {problem}; export it again")


def _form(model: onnx.ModelProto, opset: int | None) -> str:
    found = written_opset(model)
    if opset is not None and found != opset:
        return f"was written in opset {found}, asked for was {opset}"
    if model.ir_version > NEWEST_IR:
        return f"is of version {model.ir_version} of the format; expected at most {NEWEST_IR}"
    others = [entry.domain for entry in model.opset_import if entry.domain not in _OWN]
    if others or model.functions:
        return f"has operators of its own ({others[0] if others else model.functions[0].name})"
    outside = [t.name for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    return f"keeps {outside[0]} in another file; expected one file" if outside else ""


def _nodes(model: onnx.ModelProto) -> str:
    names: set[str] = set()
    for node in model.graph.node:
        if node.domain not in _OWN:
            return f"node {node.name} is of domain {node.domain}"
        if node.op_type in REFUSED:
            return f"node {node.name} is of type {node.op_type}: {REFUSED[node.op_type]}"
        if not node.name or node.name in names:
            return f"two nodes are called '{node.name}'" if node.name else f"a node of type {node.op_type} has no name"
        names.add(node.name)
    return ""


def _ends(model: onnx.ModelProto) -> str:
    outputs = {value.name: value.type.tensor_type.elem_type for value in model.graph.output}
    if outputs != {COORDINATES: _FLOATS}:
        return f"its outputs are {', '.join(sorted(outputs)) or 'none'}; expected {COORDINATES} in float32"
    shapes = tensor_shapes(model)
    for value in model.graph.input:
        if shapes[value.name][:1] != ["batch"]:
            return f"input {value.name} has axes {shapes[value.name]}; the first is to be 'batch'"
    shape = shapes.get(COORDINATES, [])
    if len(shape) != 2 or shape[0] != "batch" or not isinstance(shape[1], int) or shape[1] < 1:
        return f"{COORDINATES} has axes {shape}; expected 'batch' and a number"
    return ""
