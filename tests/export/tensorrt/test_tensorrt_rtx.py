"""Engines built for real, by TensorRT-RTX, ahead of time and without a GPU."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_export import small_source
from small_graphs import means

from edge_runtime.engines.tensorrt.build import build_engine
from edge_runtime.engines.tensorrt.messages import Messages, make_logger
from edge_runtime.engines.tensorrt.options import BuildOptions, typed
from export.batch import Profile
from export.graph.image import image_graph
from export.precision.halve import to_half
from reid.errors import UserError

trt = pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX is not installed", exc_type=ImportError)

AMPERE = BuildOptions("fp32", Profile(1, 4, 8), sms=(86,))


@pytest.fixture(scope="module")
def fp32(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    return image_graph(small_source(tmp_path_factory.mktemp("student") / "s"))


@pytest.fixture(scope="module")
def fp16(fp32: onnx.ModelProto) -> onnx.ModelProto:
    return to_half(fp32, set(), "fp16")


def weight_bytes(model: onnx.ModelProto) -> int:
    return sum(numpy_helper.to_array(tensor).nbytes for tensor in model.graph.initializer)


def test_a_student_builds_in_fp32(fp32: onnx.ModelProto) -> None:
    built = build_engine(trt, fp32.SerializeToString(), AMPERE)
    assert len(built.engine) > weight_bytes(fp32)
    assert built.typed
    assert built.layers.source == "network"
    # The engine cannot be opened without a GPU, so the report is of the network: every node has its layer.
    nodes = {layer.node for layer in built.layers.layers}
    assert {node.name for node in fp32.graph.node if node.op_type in ("MatMul", "Conv", "Softmax", "Gemm")} <= nodes
    assert "HALF" not in built.layers.types()


def test_types_of_the_graph_are_types_of_the_layers(fp16: onnx.ModelProto, fp32: onnx.ModelProto) -> None:
    built = build_engine(trt, fp16.SerializeToString(), BuildOptions("fp16", Profile(1, 4, 8), sms=(86,)))
    types = built.layers.types()
    assert types["HALF"] > types["FLOAT"]
    # Kernels come on top, some MB whatever the student's size.
    wide = build_engine(trt, fp32.SerializeToString(), AMPERE)
    saved = weight_bytes(fp32) - weight_bytes(fp16)
    assert len(wide.engine) - len(built.engine) > 0.9 * saved


def test_one_engine_serves_two_chips(fp16: onnx.ModelProto) -> None:
    built = build_engine(trt, fp16.SerializeToString(), BuildOptions("fp16", Profile(1, 1, 1), sms=(120, 121)))
    assert built.engine


def test_a_chip_that_rtx_does_not_build_for_is_named_with_those_it_does(fp32: onnx.ModelProto) -> None:
    with pytest.raises(UserError, match=r"does not build for SM 87; it does for 75, 80, 86, 89, 120, 121"):
        build_engine(trt, fp32.SerializeToString(), BuildOptions("fp32", sms=(87,)))


def test_turing_multiplies_no_fp32_matrices(fp32: onnx.ModelProto) -> None:
    with pytest.raises(UserError, match=r"FP32 GEMM is not supported.*take another --target"):
        build_engine(trt, fp32.SerializeToString(), BuildOptions("fp32", sms=(75,)))


def test_the_profile_is_as_asked() -> None:
    """The parsed network takes the profile; one that the graph cannot have is refused."""
    for profile in (Profile(1, 1, 1), Profile(2, 3, 5)):
        assert build_engine(trt, means(), BuildOptions("fp32", profile, sms=(86,))).engine
    messages = Messages()
    logger = make_logger(trt, messages)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(means())
    from edge_runtime.engines.tensorrt.profile import add_profile

    class Recording:
        """A configuration that keeps the profile."""

        def add_optimization_profile(self, profile: object) -> int:
            self.profile = profile
            return 0

    config = Recording()
    assert add_profile(builder, network, config, BuildOptions("fp32", Profile(2, 3, 5)), "graph") == []
    shapes = [tuple(shape) for shape in config.profile.get_shape("pixels")]  # type: ignore[attr-defined]
    assert shapes == [(2, 3, 8, 4), (3, 3, 8, 4), (5, 3, 8, 4)]


@pytest.mark.parametrize("data", [b"", b"nonsense", means()[:100]])
def test_a_broken_file_is_refused(data: bytes) -> None:
    with pytest.raises(UserError, match=r"TensorRT-RTX .* is it whole"):
        build_engine(trt, data, AMPERE)


def test_an_operator_that_the_parser_does_not_have_is_named_with_its_node() -> None:
    with pytest.raises(UserError, match=r"refuses node 'live' \(Bernoulli\).*no TensorRT is known to have Bernoulli"):
        build_engine(trt, means(operator="Bernoulli"), AMPERE)


def test_a_corrupted_graph_is_named_with_its_node(fp32: onnx.ModelProto) -> None:
    broken = onnx.ModelProto()
    broken.CopyFrom(fp32)
    node = next(node for node in broken.graph.node if node.op_type == "MatMul")
    node.input[0] = "nothing gives this"
    with pytest.raises(UserError) as caught:
        build_engine(trt, broken.SerializeToString(), AMPERE)
    assert f"refuses node '{node.name}' (MatMul): " in str(caught.value)


def test_types_that_do_not_go_together_are_refused_and_not_converted() -> None:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])
    nodes = [
        helper.make_node("Cast", ["x"], ["half"], name="cast", to=TensorProto.FLOAT16),
        helper.make_node("Add", ["half", "x"], ["y"], name="mixed"),
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "g", inputs, [output]), opset_imports=[helper.make_opsetid("", 18)], ir_version=10
    )
    with pytest.raises(UserError, match=r"refuses node 'mixed' \(Add\).*same input types"):
        build_engine(trt, model.SerializeToString(), AMPERE)


def test_an_interrupted_build_stops_and_is_an_interruption(
    fp32: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(line: str) -> None:
        assert line.startswith("building for")
        raise KeyboardInterrupt

    # Every step is said, so the first is where it is interrupted.
    monkeypatch.setattr("edge_runtime.engines.tensorrt.build.make_monitor", _impatient)
    with pytest.raises(KeyboardInterrupt):
        build_engine(trt, fp32.SerializeToString(), AMPERE, say=interrupted)


def _impatient(module: object, messages: Messages, say: object) -> object:
    from edge_runtime.engines.tensorrt.messages import make_monitor

    return make_monitor(module, messages, say, every=0)  # type: ignore[arg-type]


def test_a_timing_cache_is_not_used_and_not_written(tmp_path: Path) -> None:
    built = build_engine(trt, means(), BuildOptions("fp32", sms=(86,), timing_cache=tmp_path / "cache"))
    assert built.notes == ("--timing-cache is not used: TensorRT-RTX times no kernels while it builds",)
    assert list(tmp_path.iterdir()) == []


def test_rtx_takes_its_types_from_the_graph() -> None:
    assert typed(trt, BuildOptions("fp16"))
