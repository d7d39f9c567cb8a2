"""Graphs on disk: whole or not at all, and what is not one is said."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from exported import Export
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from export.graph.files import load_graph, save_graph
from reid.errors import UserError


def test_a_graph_is_read_as_it_was_written(tmp_path: Path, export: Export) -> None:
    _, graph = export("small-vit")
    save_graph(graph, tmp_path / "student.fp32.onnx")
    assert load_graph(tmp_path / "student.fp32.onnx") == graph
    assert [path.name for path in tmp_path.iterdir()] == ["student.fp32.onnx"]


def test_equal_graphs_give_equal_files(tmp_path: Path, export: Export) -> None:
    _, graph = export("small-vit")
    save_graph(graph, tmp_path / "one.onnx")
    save_graph(load_graph(tmp_path / "one.onnx"), tmp_path / "two.onnx")
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_that_is_cut_anywhere_is_refused(share: float, tmp_path: Path, export: Export) -> None:
    data = export("small-vit")[1].SerializeToString(deterministic=True)
    # All but the metadata and the opset at the end is one field, so the end is where a cut may fall between two.
    for kept in (int(share * len(data)), len(data) - 1 - int(share * 8)):
        (tmp_path / "cut.onnx").write_bytes(data[:kept])
        with pytest.raises(UserError, match=rf"cut\.onnx: not a whole ONNX file of {kept} bytes"):
            load_graph(tmp_path / "cut.onnx")


def test_what_is_no_graph_is_named(tmp_path: Path, export: Export) -> None:
    (tmp_path / "text.onnx").write_text("not a graph")
    with pytest.raises(UserError, match=r"text\.onnx: not a whole ONNX file"):
        load_graph(tmp_path / "text.onnx")
    with pytest.raises(UserError, match=r"missing\.onnx: cannot be read .No such file"):
        load_graph(tmp_path / "missing.onnx")
    with pytest.raises(UserError, match=r"cannot be read .Is a directory"):
        load_graph(tmp_path)


def test_weights_in_another_file_are_refused(tmp_path: Path, export: Export) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(export("small-vit")[1])
    onnx.save(model, tmp_path / "split.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    with pytest.raises(UserError, match=r"split\.onnx: keeps weights such as .* in another file"):
        load_graph(tmp_path / "split.onnx")


def test_a_folder_that_is_not_there_leaves_nothing(tmp_path: Path, export: Export) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        save_graph(export("small-vit")[1], tmp_path / "nowhere" / "student.onnx")
    assert list(tmp_path.iterdir()) == []
