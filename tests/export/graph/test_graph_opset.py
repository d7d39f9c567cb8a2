"""Opsets: which one a TensorRT reads, and that the one which is asked for is the one that is written."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from exported import Export, assert_equal, inputs
from onnx import helper
from onnx.reference import ReferenceEvaluator

from export.graph.check import check_graph
from export.graph.image import image_graph
from export.graph.lower import lower, written_opset
from export.graph.metadata import read_metadata
from export.graph.opset import greatest_opset, opset_for
from export.session import open_session
from reid.errors import UserError


@pytest.mark.parametrize("name", ["small-vit", "small-dinov2", "small-mobilevit", "small-convnextv2"])
@pytest.mark.parametrize("opset", [17, 16])
def test_a_lowered_graph_computes_the_same(name: str, opset: int, export: Export) -> None:
    _, graph = export(name)
    lowered = lower(graph, opset)
    check_graph(lowered, opset=opset, name=name)
    assert written_opset(graph) == 18
    given = inputs(graph, 2)
    expected = open_session(graph, threads=1).run(None, given)[0]
    assert_equal(open_session(lowered, threads=1).run(None, given)[0], expected)
    norms = [node for node in lowered.graph.node if node.op_type == "LayerNormalization"]
    assert bool(norms) == (opset == 17 and any(node.op_type == "LayerNormalization" for node in graph.graph.node))


def test_onnx_reference_evaluation_agrees_with_the_layer_norm_that_is_written_out(export: Export) -> None:
    _, graph = export("small-vit")
    given = inputs(graph, 2)
    expected = open_session(graph, threads=1).run(None, given)[0]
    assert_equal(ReferenceEvaluator(lower(graph, 16)).run(None, given)[0], expected)


@pytest.mark.parametrize(("opset", "ir"), [(17, 8), (21, 10)])
def test_the_opset_that_is_asked_for_is_written(opset: int, ir: int, export: Export) -> None:
    source, graph = export("small-vit")
    other = image_graph(source, opset=opset)
    check_graph(other, opset=opset, name="other")
    assert (other.opset_import[0].version, other.ir_version) == (opset, ir)
    assert read_metadata(other)["reid.opset"] == str(opset)
    given = inputs(graph, 3)
    session = open_session(other, threads=1)
    assert_equal(session.run(None, given)[0], open_session(graph, threads=1).run(None, given)[0])


def test_an_opset_that_cannot_be_written_is_refused(export: Export) -> None:
    source, _ = export("small-vit")
    for opset in (15, 22):
        with pytest.raises(UserError, match=f"opset {opset}: cannot be written; expected 16 to 21"):
            image_graph(source, opset=opset)


def test_a_node_that_an_older_opset_cannot_say_is_named() -> None:
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 4])
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 4])
    gelu = helper.make_node("Gelu", ["x"], ["y"], "mlp/Gelu")
    model = helper.make_model(helper.make_graph([gelu], "g", [x], [y]), opset_imports=[helper.make_opsetid("", 20)])
    with pytest.raises(UserError, match="mlp/Gelu: opset 17 has no such Gelu; take opset 20"):
        lower(model, 17)
    assert lower(model, 20) is model


def test_reductions_over_axes_keep_them() -> None:
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2, 3, 4])
    axes = onnx.numpy_helper.from_array(np.array([0, 2]), "axes")
    for kept in (0, 1):
        for inputs_ in (["x", "axes"], ["x"]):
            where = (0, 2) if "axes" in inputs_ else (0, 1, 2)
            y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None] * (3 if kept else 3 - len(where)))
            node = helper.make_node("ReduceL2", inputs_, ["y"], "norm", keepdims=kept)
            graph = helper.make_graph([node], "g", [x], [y], [axes])
            model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
            given = {"x": np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)}
            lowered = lower(model, 17)
            onnx.checker.check_model(lowered, full_check=True)
            found = ReferenceEvaluator(lowered).run(None, given)[0]
            np.testing.assert_allclose(found, np.sqrt((given["x"] ** 2).sum(where, keepdims=bool(kept))), rtol=1e-6)


@pytest.mark.parametrize(
    ("version", "greatest", "chosen"),
    [("8.5", 16, 16), ("8.5.2", 16, 16), ("8.6.1", 17, 17), ("10.3", 20, 18), ("10.16.2", 24, 18), ("11.4", 24, 18),
     ("10", 20, 18)],
)  # fmt: skip
def test_the_oldest_tensorrt_decides(version: str, greatest: int, chosen: int) -> None:
    assert greatest_opset(version) == greatest
    assert opset_for(version) == chosen
    assert opset_for(version, wanted=21) == min(21, greatest)


def test_without_a_tensorrt_the_preferred_opset_is_taken() -> None:
    assert opset_for(None) == 18


def test_versions_that_are_none_or_too_old_are_refused() -> None:
    with pytest.raises(UserError, match=r"TensorRT 7\.2: reads no opset .* 8\.5 is the oldest"):
        opset_for("7.2")
    with pytest.raises(UserError, match="TensorRT 'newest': not a version"):
        opset_for("newest")
