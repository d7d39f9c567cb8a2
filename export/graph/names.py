"""Names that a reader of a report knows: of the modules that nodes and weights come from."""

from __future__ import annotations

import ast
from collections import Counter

import onnx
from onnx import numpy_helper

_SCOPES = "pkg.torch.onnx.name_scopes"
"""Key of the exporter's note on a node: the modules around it, from outside in, and last the operation in torch."""
_OUTER = ("student", "backbone")
"""Modules that everything is in, and that a name can do without."""


def name_after_modules(model: onnx.ModelProto) -> None:
    """Rename nodes, the tensors that they give, and weights; and drop the exporter's notes.

    A node is called "layers.3.attention.q_proj/MatMul", with ".2", ".3", ... after it if its module has several of its
    kind. The tensor that it gives bears the same name, a second one with ":1" after it. Weights are called as in the
    student's safetensors, but for the outermost "backbone". Constants are numbered in the order in which they are
    used. Inputs and outputs of the graph keep their names.

    Args:
        model: of the exporter, with its notes; changed in place.
    """
    graph = model.graph
    tensors = {value.name: value.name for value in (*graph.input, *graph.output)}
    weights = {tensor.name: tensor for tensor in graph.initializer}
    seen: Counter[str] = Counter()
    numbered = 0
    order: list[str] = []
    for node in graph.node:
        scope = _scope(node, weights)
        name = f"{scope}/{node.op_type}"
        seen[name] += 1
        node.name = name if seen[name] == 1 else f"{name}.{seen[name]}"
        for place, used in enumerate(node.input):
            if used in tensors or used not in weights:
                continue
            order.append(used)
            if "." in used:
                tensors[used] = _shortened(used.replace(".weight_bias", ".bias"))
            elif numpy_helper.to_array(weights[used]).ndim > 1:
                tensors[used] = f"{scope}.weight" if node.op_type == "MatMul" else f"{node.name}.{place}"
            else:
                numbered += 1
                tensors[used] = f"constant.{numbered}"
        for place, given in enumerate(node.output):
            if given and given not in tensors:
                tensors[given] = node.name if place == 0 else f"{node.name}:{place}"
    for node in graph.node:
        node.input[:] = [tensors.get(used, used) for used in node.input]
        node.output[:] = [tensors.get(given, given) for given in node.output]
    _put_in_order(graph, [weights[name] for name in order], tensors)
    _drop_notes(model)


def _put_in_order(graph: onnx.GraphProto, used: list[onnx.TensorProto], tensors: dict[str, str]) -> None:
    """Weights as they are used, each once, under their new names; those that nobody uses go."""
    kept = []
    for tensor in used:
        made = numpy_helper.from_array(numpy_helper.to_array(tensor).copy(), tensors[tensor.name])
        kept.append(made)
    names = Counter(tensor.name for tensor in kept)
    twice = [name for name, count in names.items() if count > 1]
    assert not twice, f"two weights of one name: {twice[0]}"
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _scope(node: onnx.NodeProto, weights: dict[str, onnx.TensorProto]) -> str:
    # A convolution that a batch norm was folded into is in the scope of the norm, but its weights tell.
    own = [name.rsplit(".", 1)[0] for name in node.input if name in weights and name.endswith(".weight")]
    if len(node.input) > 2 and own:
        return _shortened(own[0])
    notes = {note.key: note.value for note in node.metadata_props}
    modules = [name for name in ast.literal_eval(notes.get(_SCOPES, "['']"))[:-1] if name and not name.startswith("_")]
    return _shortened(modules[-1]) if modules else "graph"


def _shortened(path: str) -> str:
    parts = path.split(".")
    for outer in _OUTER:
        if parts[0] == outer and len(parts) > 1:
            parts = parts[1:]
    return ".".join(parts)


def _drop_notes(model: onnx.ModelProto) -> None:
    graph = model.graph
    values = (*graph.input, *graph.output, *graph.node, *graph.initializer, graph, model)
    for part in values:
        del part.metadata_props[:]
        part.doc_string = ""
