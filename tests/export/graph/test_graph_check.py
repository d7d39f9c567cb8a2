"""Graphs that a parser would stumble over are found here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from exported import Export
from onnx import helper, numpy_helper

from export.graph.check import check_graph
from reid.errors import UserError

Change = Callable[[onnx.ModelProto], object]


def cast(model: onnx.ModelProto) -> None:
    model.graph.node[-1].output[0] = "inner"
    model.graph.node.append(helper.make_node("Cast", ["inner"], ["coordinates"], "cast", to=onnx.TensorProto.FLOAT16))
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16


def outside(model: onnx.ModelProto) -> None:
    model.graph.initializer[3].data_location = onnx.TensorProto.EXTERNAL


def own(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def resize(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "Resize"


def twice(model: onnx.ModelProto) -> None:
    model.graph.node[2].name = model.graph.node[5].name


def fixed(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2


def contradiction(model: onnx.ModelProto) -> None:
    table = next(tensor for tensor in model.graph.initializer if tensor.name == "embeddings.table")
    table.CopyFrom(numpy_helper.from_array(np.zeros((1, 7, 24), dtype=np.float32), table.name))


def renamed(model: onnx.ModelProto) -> None:
    model.graph.node[-1].output[0] = model.graph.output[0].name = "output"


def unknown(model: onnx.ModelProto) -> None:
    model.graph.node[3].op_type = "Reshapen"


def new_format(model: onnx.ModelProto) -> None:
    model.ir_version = 11


CASES: list[tuple[Change, str]] = [
    (cast, "its outputs are coordinates; expected coordinates in float32"),
    (outside, "in another file; expected one file"),
    (own, "has operators of its own .com.microsoft."),
    (resize, "node normalise/Mul is of type Resize: positions are to be constants"),
    (twice, "two nodes are called"),
    (fixed, r"input pixels has axes \[2, 3, 192, 64\]; the first is to be 'batch'"),
    (contradiction, "ONNX's checker does not take it .*embeddings/Add"),
    (renamed, "its outputs are output; expected coordinates"),
    (unknown, "ONNX's checker does not take it .*Reshapen"),
    (new_format, "is of version 11 of the format; expected at most 10"),
]


@pytest.mark.parametrize(("change", "message"), CASES, ids=[change.__name__ for change, _ in CASES])  # type: ignore[attr-defined]
def test_what_is_wrong_is_said(change: Any, message: str, export: Export) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(export("small-vit")[1])
    check_graph(model, opset=18, name="student.onnx")
    change(model)
    with pytest.raises(UserError, match=rf"student\.onnx: .*{message}"):
        check_graph(model, opset=18, name="student.onnx")


def test_the_opset_is_what_was_asked_for(export: Export) -> None:
    _, graph = export("small-vit")
    with pytest.raises(UserError, match=r"student\.onnx: was written in opset 18, asked for was 17"):
        check_graph(graph, opset=17, name="student.onnx")
    check_graph(graph, opset=None, name="student.onnx")
