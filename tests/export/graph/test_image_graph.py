"""The image graph against the student in torch: in ONNX Runtime, and in OpenVINO, which shares no code with it."""

from __future__ import annotations

import logging
import re
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from exported import Export, assert_equal, inputs
from onnx import numpy_helper
from small_export import lively, small_source, write_student
from small_students import PERSON, SMALL

from export.graph.check import check_graph
from export.graph.image import image_graph
from export.graph.plain import plain_copy
from export.graph.shapes import tensor_shapes
from export.session import open_session
from export.source import open_source
from student.build import build_student
from student.zoo import ZOO, ZooEntry

Reference = Callable[..., Any]
WITH_ATTENTION = [name for name in SMALL if "convnext" not in name]


def expect(in_torch: Reference, source: Any, given: dict[str, Any]) -> Any:
    count = len(given["pixels"])
    modality = torch.from_numpy(given.get("modality", np.zeros(count, dtype=np.int64)))
    return in_torch(source, torch.from_numpy(given["pixels"]), modality)


@pytest.mark.parametrize("name", SMALL)
def test_every_family_equals_torch_at_any_batch(name: str, export: Export, in_torch: Reference) -> None:
    source, graph = export(name)
    check_graph(graph, opset=18, name=name)
    session = open_session(graph, threads=1)
    for count in (1, 3, 16):
        given = inputs(graph, count)
        assert_equal(session.run(None, given)[0], expect(in_torch, source, given))


@pytest.mark.parametrize("name", ["small-dinov2", "small-convnextv2"])
def test_openvino_reads_the_same(name: str, export: Export, in_torch: Reference, tmp_path: Path) -> None:
    import openvino

    source, graph = export(name)
    onnx.save(graph, tmp_path / "graph.onnx")
    core = openvino.Core()
    exact = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = core.compile_model(str(tmp_path / "graph.onnx"), "CPU", exact)
    for count in (1, 3):
        given = inputs(graph, count)
        assert_equal(compiled(given)[0], expect(in_torch, source, given))


def test_each_modality_goes_through_its_own_stem(export: Export, in_torch: Reference) -> None:
    source, graph = export("small-deit", stems="modality", pooling="parts", output_scale=0.3)
    check_graph(graph, opset=18, name="stems")
    assert {name: axes[0] for name, axes in tensor_shapes(graph).items() if name in ("pixels", "modality")} == {
        "pixels": "batch", "modality": "batch",
    }  # fmt: skip
    session = open_session(graph, threads=1)
    given = inputs(graph, 5)
    found = session.run(None, given)[0]
    assert_equal(found, expect(in_torch, source, given))
    other = session.run(None, {**given, "modality": (given["modality"] + 1) % 3})[0]
    assert np.abs(found - other).max() > 1e-3 * np.abs(found).max()


@pytest.mark.parametrize("name", WITH_ATTENTION)
def test_no_scale_stands_between_the_scores_and_the_softmax(name: str, export: Export) -> None:
    _, graph = export(name)
    by_output = {node.output[0]: node for node in graph.graph.node}
    softmaxes = [node for node in graph.graph.node if node.op_type == "Softmax"]
    assert softmaxes
    for node in softmaxes:
        scores = by_output[node.input[0]]
        assert scores.op_type == "MatMul"
        for used in scores.input:
            while by_output[used].op_type in ("Transpose", "Reshape"):
                used = by_output[used].input[0]
            assert by_output[used].op_type == "Add"


@pytest.mark.parametrize(("width", "heads", "exact"), [(32, 2, True), (24, 2, False), (64, 1, True)])
def test_a_scale_that_is_a_power_of_two_is_folded_without_a_trace(
    width: int, heads: int, exact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {**SMALL["small-vit"].config, "hidden_size": width, "num_attention_heads": heads}
    monkeypatch.setitem(ZOO, "scaled", ZooEntry("scaled", "vit", config, None, ""))
    student = build_student("scaled", 8, height=64, width=32)
    student.set_attn_implementation("eager")
    lively(student)
    before = {key: value.clone() for key, value in student.state_dict().items()}
    pixels = torch.randn(4, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = student(pixels), plain_copy(student)(pixels)
    assert bool(torch.equal(found, expected)) == exact
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert all(torch.equal(value, before[key]) for key, value in student.state_dict().items())


@pytest.mark.parametrize("name", SMALL)
def test_nothing_is_computed_that_is_known_beforehand(name: str, export: Export) -> None:
    _, graph = export(name)
    kinds = Counter(node.op_type for node in graph.graph.node)
    for computed in ("Shape", "Expand", "Where", "Range", "ConstantOfShape", "Constant", "Identity", "Resize", "Cast"):
        assert kinds[computed] == 0, computed
    constants = {tensor.name for tensor in graph.graph.initializer}
    used = Counter(name for node in graph.graph.node for name in node.input)
    assert [node.name for node in graph.graph.node if constants.issuperset(node.input)] == []
    assert constants <= set(used)


def test_a_layer_of_a_vit_has_as_few_nodes_as_it_can(export: Export) -> None:
    """16 matrices, biases, norms and sums; 8 reshapes and transpositions; 2 products, a softmax; 5 of a GELU."""
    _, graph = export("small-vit")
    layers = Counter(".".join(node.name.split("/")[0].split(".")[:2]) for node in graph.graph.node)
    assert {layer: count for layer, count in layers.items() if layer.startswith("layers.")} == {
        "layers.0": 32, "layers.1": 32,
    }  # fmt: skip
    assert len(graph.graph.node) == 2 * 32 + 17


def test_pixels_are_normalised_first_and_in_the_graph(export: Export) -> None:
    source, graph = export("small-vit")
    first, second = graph.graph.node[:2]
    assert (first.op_type, second.op_type) == ("Mul", "Add")
    assert (first.name, second.name) == ("normalise/Mul", "normalise/Add")
    assert first.input[0] == "pixels"
    assert second.input[0] == first.output[0]
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    mean, std = (np.array(values) for values in (source.preprocessing.mean, source.preprocessing.std))
    white = 255 * weights[first.input[1]].ravel() + weights[second.input[1]].ravel()
    np.testing.assert_allclose(white, (1 - mean) / std, rtol=1e-6)


@pytest.mark.parametrize("name", SMALL)
def test_nodes_are_called_after_the_modules_that_they_come_from(name: str, export: Export) -> None:
    source, graph = export(name)
    names = [node.name for node in graph.graph.node]
    assert len(set(names)) == len(names)
    modules = {path for path, _ in source.student.backbone.named_modules()} | {"head", "normalise", "student"}
    for node in graph.graph.node:
        path, kind = node.name.split("/")
        assert path in modules
        assert re.fullmatch(rf"{node.op_type}(\.\d+)?", kind)
    assert "head/Gemm" in names
    # A weight that is not changed bears its name and its values.
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    np.testing.assert_array_equal(weights["head.weight"], source.student.head.weight.detach().numpy())


def test_the_same_student_gives_the_same_bytes(export: Export) -> None:
    source, graph = export("small-vit")
    again = image_graph(open_source(source.folder))
    assert again.SerializeToString(deterministic=True) == graph.SerializeToString(deterministic=True)


def test_no_tensor_but_the_first_axis_depends_on_the_batch(export: Export) -> None:
    _, graph = export("small-dinov2-reg")
    for name, axes in tensor_shapes(graph).items():
        assert axes[0] == "batch", name
        assert all(isinstance(size, int) and size > 0 for size in axes[1:])


def test_positions_of_another_size_are_constants(tmp_path: Path, in_torch: Reference) -> None:
    """The weights are for a square; 128 x 64 is not what they were trained at."""
    from small_students import checkpoint

    checkpoint(tmp_path / "square", "small-dinov2")
    height, width = PERSON["small-dinov2"]
    student = build_student("small-dinov2", 8, height=height, width=width, init=str(tmp_path / "square"))
    source = open_source(write_student(tmp_path / "student", student))
    graph = image_graph(source)
    check_graph(graph, opset=18, name="positions")
    given = inputs(graph, 2)
    assert_equal(open_session(graph, threads=1).run(None, given)[0], expect(in_torch, source, given))


def test_an_export_says_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    source = small_source(tmp_path / "student", "small-vit", 64, 32)
    level = logging.getLogger("torch.onnx._internal.exporter._registration").level
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image_graph(source)
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert logging.getLogger("torch.onnx._internal.exporter._registration").level == level


def test_onnx_runtime_computes_each_gelu_as_one(export: Export, tmp_path: Path) -> None:
    _, graph = export("small-vit")
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    # It warns that the file is for this machine alone.
    options.log_severity_level = 4
    ort.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)
    assert kinds["Erf"] == 0
    assert kinds["BiasGelu"] == 2
