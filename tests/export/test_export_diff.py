"""Which layers differ, against a reading of the graphs by hand, and by how much, against ONNX Runtime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from small_export import small_source

from export.cli.diff import diff_command
from export.crops import Crops, synthetic_crops
from export.diff.compare import Diff, diff_graphs
from export.diff.find import input_size, pairs_of, read_graph
from export.diff.types import layers_of
from export.graph.image import image_graph
from export.int8.quantise import quantise
from export.precision.halve import to_half
from export.precision.typed import with_outputs
from export.session import PIXELS, feeds, open_session
from reid.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with graphs of one student in four precisions."""
    place = tmp_path_factory.mktemp("graphs")
    source = small_source(place / "student")
    fp32 = image_graph(source)
    kept = [node.name for node in fp32.graph.node if node.op_type == "LayerNormalization"][:2]
    half = to_half(fp32, set())
    for model, precision in ((fp32, "fp32"), (half, "fp16")):
        model.metadata_props.add(key="made.for", value=precision)
    int8 = quantise(fp32, synthetic_crops(source.preprocessing, 2, 0))
    for name, model in (("fp32", fp32), ("fp16", half), ("mixed", to_half(fp32, set(kept))), ("int8", int8)):
        onnx.save(model, place / f"student.{name}.onnx")
    return place


@pytest.fixture(scope="module")
def crops(folder: Path) -> Crops:
    from edge_runtime.preprocess import Preprocessing

    return synthetic_crops(Preprocessing(*input_size(read_graph(folder / "student.fp32.onnx"))), 1, 1)


def diff(folder: Path, a: str, b: str, crops: Crops | None) -> Diff:
    one, other = folder / f"student.{a}.onnx", folder / f"student.{b}.onnx"
    return diff_graphs((one, read_graph(one)), (other, read_graph(other)), crops, threads=1)


def test_a_graph_does_not_differ_from_itself(folder: Path, crops: Crops) -> None:
    found = diff(folder, "fp32", "fp32", crops)
    assert found.differing == 0
    assert not found.metadata
    assert not found.only_a + found.only_b
    assert all(layer.departs is not None and layer.departs.error == 0 for layer in found.layers)
    assert found.parity is not None
    assert found.parity.cosine_min == pytest.approx(1)


def test_layers_that_were_kept_are_the_ones_that_do_not_differ(folder: Path) -> None:
    found = diff(folder, "fp16", "mixed", None)
    fp32 = read_graph(folder / "student.fp32.onnx")
    kept = [node.name for node in fp32.graph.node if node.op_type == "LayerNormalization"][:2]
    assert {layer.a.name for layer in found.layers if layer.types_differ} == set(kept)
    assert {(layer.a.type, layer.b.type) for layer in found.layers if layer.types_differ} == {("fp16", "fp32")}
    assert found.changers[1] > found.changers[0]


def test_errors_of_layers_are_those_of_the_tensors_rounded(folder: Path, crops: Crops) -> None:
    """The first layer in fp16 alone: what it makes is rounded, and differs by at most a rounding from fp32's."""
    found = diff(folder, "fp32", "fp16", crops)
    (conv,) = [layer for layer in found.layers if layer.a.op == "Conv"]
    assert (conv.a.type, conv.b.type) == ("fp32", "fp16")
    assert conv.departs is not None
    assert 0 < conv.departs.error < 2**-9
    assert conv.departs.cosine > 0.99999
    errors = [layer.departs.error for layer in found.layers if layer.departs is not None]
    assert errors == sorted(errors, reverse=True)
    assert found.metadata == {"made.for": ("fp32", "fp16")}
    assert found.bytes[1] < 0.6 * found.bytes[0]


def test_errors_are_those_that_onnx_runtime_finds_between_two_fp32_graphs(folder: Path, crops: Crops) -> None:
    a = folder / "student.fp32.onnx"
    model = read_graph(a)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    (conv,) = [node for node in model.graph.node if node.op_type == "Conv"]
    changed = onnx.numpy_helper.to_array(weights[conv.input[1]]) * np.float32(1.25)
    weights[conv.input[1]].CopyFrom(onnx.numpy_helper.from_array(changed, conv.input[1]))
    b = folder / "changed.onnx"
    onnx.save(model, b)
    found = diff_graphs((a, read_graph(a)), (b, model), crops, threads=1)
    layer = next(layer for layer in found.layers if layer.a.op == "LayerNormalization")
    values = []
    for path in (a, b):
        session = open_session(with_outputs(read_graph(path), [layer.a.output]), threads=1, optimised=False)
        values.append(session.run([layer.a.output], feeds(crops, [PIXELS]))[0].astype(np.float64))
    assert layer.departs is not None
    assert layer.departs.error == pytest.approx(np.abs(values[0] - values[1]).max() / np.abs(values[0]).max(), rel=1e-3)
    cosine = (values[0] * values[1]).sum() / np.sqrt((values[0] ** 2).sum() * (values[1] ** 2).sum())
    assert layer.departs.cosine == pytest.approx(cosine, abs=1e-6)


def test_a_layer_on_int8_is_told_from_one_that_is_not(folder: Path, crops: Crops) -> None:
    layers, changers = layers_of(read_graph(folder / "student.int8.onnx"), "int8")
    assert changers > 0
    weights = {tensor.name for tensor in read_graph(folder / "student.fp32.onnx").graph.initializer}
    fp32 = read_graph(folder / "student.fp32.onnx").graph
    with_weights = {n.name for n in fp32.node if n.op_type in ("Conv", "MatMul", "Gemm") and n.input[1] in weights}
    with_weights = {name for name in with_weights if not name.startswith("head")}  # which stays as it is
    assert {layer.name for layer in layers.values() if layer.type == "int8"} == with_weights
    found = diff(folder, "fp32", "int8", crops)
    assert found.differing == len(with_weights)
    assert not found.only_a + found.only_b


def test_folders_are_compared_by_file_name(folder: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle" / "model"
    bundle.mkdir(parents=True)
    for name in ("fp32", "fp16"):
        (bundle / f"student.{name}.onnx").write_bytes((folder / f"student.{name}.onnx").read_bytes())
    pairs = pairs_of(folder, tmp_path / "bundle")
    assert [(a.name, b.name) for a, b in pairs] == [(f"student.{n}.onnx",) * 2 for n in ("fp16", "fp32")]
    with pytest.raises(UserError, match=r"name the two \.onnx files"):
        (tmp_path / "other").mkdir()
        for name in ("a", "b"):
            (tmp_path / "other" / f"student.{name}.onnx").touch()
        pairs_of(folder, tmp_path / "other")


def call(*words: object) -> Result:
    return CliRunner().invoke(diff_command, [str(word) for word in words])


def test_the_command_prints_the_worst_layers_first(folder: Path) -> None:
    result = call(folder / "student.fp32.onnx", folder / "student.fp16.onnx", "--crops", 1, "--rows", 5, "--threads", 1)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    head = next(place for place, line in enumerate(lines) if line.startswith("layer "))
    errors = [float(line.split()[4]) for line in lines[head + 2 : head + 7]]
    assert errors == sorted(errors, reverse=True)
    assert "more layers; --all shows them" in result.output
    assert "metadata made.for: fp32 in A, fp16 in B" in result.output
    assert "embeddings of B beside A's" in result.output


def test_the_command_prints_json(folder: Path) -> None:
    result = call(folder / "student.fp32.onnx", folder / "student.int8.onnx", "--crops", 0, "--json")
    assert result.exit_code == 0, result.output
    (raw,) = json.loads(result.output)
    assert raw["parity"] is None
    assert raw["differing"] > 0
    assert {layer["b"] for layer in raw["layers"] if layer["a"] != layer["b"]} == {"int8"}


def test_what_is_no_graph_is_named(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "student.fp16.onnx"
    broken.write_bytes((folder / "student.fp16.onnx").read_bytes()[:1000])
    with pytest.raises(UserError, match=r"student\.fp16\.onnx: not a whole ONNX file"):
        read_graph(broken)
    with pytest.raises(UserError, match="is not there"):
        pairs_of(tmp_path / "nowhere", folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no student\.\*\.onnx"):
        pairs_of(tmp_path / "empty", folder)
    with pytest.raises(UserError, match=r"not an \.onnx file"):
        (tmp_path / "model.engine").touch()
        pairs_of(tmp_path / "model.engine", folder)


def test_graphs_of_students_of_other_sizes_are_not_compared(folder: Path, crops: Crops, tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    model = read_graph(folder / "student.fp32.onnx")
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 256
    onnx.save(model, other)
    a = folder / "student.fp32.onnx"
    with pytest.raises(UserError, match="expected graphs of one student"):
        diff_graphs((a, read_graph(a)), (other, read_graph(other)), crops, threads=1)
