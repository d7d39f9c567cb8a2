"""The builder over stand-ins that have exactly the names of TensorRT 8.6, 10.3 and 11.4."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from small_graphs import means
from stand_in import VERSIONS, called, flags, stand_in

from edge_runtime.engines.tensorrt.build import Built, build_engine
from edge_runtime.engines.tensorrt.messages import Messages, make_monitor
from edge_runtime.engines.tensorrt.options import BuildOptions, graph_precision
from export.batch import Profile
from reid.errors import UserError

PROFILE = Profile(1, 4, 8)


def build(trt: Any, precision: str = "fp16", graph: bytes | None = None, **options: Any) -> Built:
    return build_engine(trt, means() if graph is None else graph, BuildOptions(precision, PROFILE, **options))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_every_version_builds_with_the_names_it_has(version: str, precision: str) -> None:
    trt = stand_in(version)
    built = build(trt, precision)
    assert built.engine == f"plan of {version}".encode()
    assert built.version == version
    assert [layer.node for layer in built.layers.layers] == ["sizes", "live", "pool", "flat"]


@pytest.mark.parametrize("version", VERSIONS)
def test_types_come_from_the_graph_where_the_version_takes_them(version: str) -> None:
    trt = stand_in(version)
    built = build(trt, "fp16")
    (created,) = called(trt, "create_network")
    if version == "8.6.1":
        assert created[0] == {"EXPLICIT_BATCH"}
        assert flags(trt) == {"FP16", "OBEY_PRECISION_CONSTRAINTS"}
        assert graph_precision(trt, BuildOptions("fp16")) == "fp32"
    else:
        assert "STRONGLY_TYPED" in created[0]
        assert flags(trt) == set()
        assert graph_precision(trt, BuildOptions("fp16")) == "fp16"
    assert built.typed is (version != "8.6.1")


def test_the_int8_graph_is_given_whole_and_8_6_may_also_use_halves_between() -> None:
    trt = stand_in("8.6.1")
    assert graph_precision(trt, BuildOptions("int8")) == "int8"
    build(trt, "int8")
    assert {"INT8", "FP16"} <= flags(trt)


def test_8_6_binds_the_layers_of_fp32_nodes_and_leaves_whole_numbers_alone() -> None:
    trt = stand_in("8.6.1")
    built = build(trt, "fp16", fp32_nodes=("pool", "sizes", "gone"))
    assert called(trt, "set_output_type") == [(0, trt.DataType.FLOAT)]  # of "pool"; "sizes" gives whole numbers
    assert built.notes == ("1 of 3 nodes to keep in fp32 became no layer, first gone",)


@pytest.mark.parametrize("version", VERSIONS[1:])
def test_layers_are_never_bound_where_the_graph_has_the_types(version: str) -> None:
    trt = stand_in(version)
    build(trt, "fp16", fp32_nodes=("pool",))
    assert called(trt, "set_output_type") == []


def test_8_6_has_no_bf16() -> None:
    with pytest.raises(UserError, match=r"--bf16: TensorRT 8.6.1 has no BuilderFlag.BF16"):
        build(stand_in("8.6.1"), "bf16")
    build(stand_in("10.3.0"), "bf16")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_open_input_gets_the_batch_sizes(version: str) -> None:
    trt = stand_in(version)
    build(trt, graph=means(modality=True))
    assert called(trt, "set_shape") == [
        ("pixels", (1, 3, 8, 4), (4, 3, 8, 4), (8, 3, 8, 4)),
        ("modality", (1,), (4,), (8,)),
    ]
    assert len(called(trt, "add_optimization_profile")) == 1


def test_a_graph_of_one_batch_size_keeps_it_and_says_so() -> None:
    trt = stand_in("10.3.0")
    built = build(trt, graph=means(batch=2))
    assert called(trt, "set_shape") == called(trt, "add_optimization_profile") == []
    assert built.notes == ("input 'pixels' has the fixed shape [2, 3, 8, 4]; --batch says nothing to it",)


@pytest.mark.parametrize("version", VERSIONS)
def test_options_reach_the_configuration(version: str) -> None:
    trt = stand_in(version)
    build(trt, workspace=512, level=4, version_compatible=True, hardware_compatible=True)
    assert called(trt, "set_memory_pool_limit") == [(trt.MemoryPoolType.WORKSPACE, 512 << 20)]
    assert trt.config.builder_optimization_level == 4
    assert "VERSION_COMPATIBLE" in flags(trt)
    assert trt.config.hardware_compatibility_level is trt.HardwareCompatibilityLevel.AMPERE_PLUS
    assert trt.config.profiling_verbosity is trt.ProfilingVerbosity.DETAILED


def test_weights_are_stripped_where_the_version_can() -> None:
    with pytest.raises(UserError, match=r"--weight-stripped: TensorRT 8.6.1 has no"):
        build(stand_in("8.6.1"), weight_stripped=True)
    trt = stand_in("11.4.0.106")
    build(trt, weight_stripped=True)
    assert flags(trt) == {"STRIP_PLAN"}


def test_only_rtx_builds_for_another_chip() -> None:
    with pytest.raises(UserError, match="builds only for the GPU it runs on; for SM 89 install TensorRT-RTX"):
        build(stand_in("10.3.0"), sms=(89,))


@pytest.mark.parametrize(("version", "typed"), [("8.6.1", False), ("10.3.0", False), ("11.4.0.106", True)])
def test_a_dla_takes_flags_until_11_and_then_a_graph_that_the_parser_adjusts(version: str, typed: bool) -> None:
    trt = stand_in(version, dla=2)
    built = build(trt, dla=1)
    assert trt.config.DLA_core == 1
    assert trt.config.default_device_type is trt.DeviceType.DLA
    assert "GPU_FALLBACK" in flags(trt)
    assert ("FP16" in flags(trt)) is not typed
    assert flags(trt, "parser_flag") == ({"ADJUST_FOR_DLA"} if typed else set())
    assert built.typed is typed


def test_a_dla_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match="--dla 0: this machine has 0 deep learning accelerators"):
        build(stand_in("10.3.0"), dla=0)


def test_the_timing_cache_is_read_and_what_the_build_added_is_written(tmp_path: Path) -> None:
    cache = tmp_path / "timing.cache"
    trt = stand_in("10.3.0")
    build(trt, timing_cache=cache)
    assert called(trt, "ITimingCache") == [(b"",)]
    assert cache.read_bytes() == b"timings"
    again = stand_in("10.3.0")
    build(again, timing_cache=cache)
    assert called(again, "ITimingCache") == [(b"timings",)]
    assert [path.name for path in tmp_path.iterdir()] == ["timing.cache"]


def test_the_timing_cache_of_another_machine_is_left_alone(tmp_path: Path) -> None:
    cache = tmp_path / "timing.cache"
    cache.write_bytes(b"another's")
    built = build(stand_in("10.3.0", cache_fits=False), timing_cache=cache)
    assert "is of another TensorRT or GPU" in built.notes[0]
    assert cache.read_bytes() == b"another's"


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_parser_refuses_is_named_with_node_and_words_and_who_has_it(version: str) -> None:
    error = {"node": 1, "node_name": "live", "node_operator": "STFT", "desc": "no\n importer", "code": 8}
    with pytest.raises(UserError) as caught:
        build(stand_in(version, parses=False, errors=[error]), graph=means(operator="STFT"))
    assert str(caught.value) == (
        f"graph: TensorRT {version} refuses node 'live' (STFT): no importer; TensorRT 10.5 and newer have STFT"
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_a_broken_file_is_said_to_be_broken(version: str) -> None:
    error = {"node": -1, "node_name": "", "node_operator": "", "desc": "cannot be read", "code": 1}
    with pytest.raises(UserError, match=r"cannot read it \(cannot be read\); is it whole"):
        build(stand_in(version, parses=False, errors=[error]), graph=b"broken")


def test_an_empty_network_is_no_network() -> None:
    with pytest.raises(UserError, match="reads no network from it; is it whole"):
        build(stand_in("10.3.0"), graph=b"")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("Requested 950 MB of workspace memory", "lower --workspace"),
        ("FP32 GEMM is not supported", "take another --target"),
        ("Unable to load library: libnvinfer_lean.so", "leave --version-compatible out"),
        ("something else", "try another precision"),
    ],
)
def test_a_build_that_fails_says_why_and_what_to_try(words: str, hint: str) -> None:
    with pytest.raises(UserError, match=hint) as caught:
        build(stand_in("10.3.0", builds=False, says=words))
    assert words in str(caught.value)


def test_progress_is_said_every_few_seconds() -> None:
    lines: list[str] = []
    now = iter(range(0, 1000, 3))
    monitor = make_monitor(stand_in("10.3.0"), Messages(), lines.append, clock=lambda: float(next(now)))
    assert monitor is not None
    monitor.phase_start("Building engine", None, 6)
    for step in range(4):
        assert monitor.step_complete("Building engine", step)
    assert lines[0] == "building for 6 s: Building engine 2/6"
    assert 1 <= len(lines) < 4
    assert make_monitor(stand_in("8.6.1"), Messages(), lines.append) is None


def test_an_exception_of_ours_cancels_the_build_and_comes_out_afterwards() -> None:
    messages = Messages()

    def interrupted(line: str) -> None:
        raise KeyboardInterrupt(signal.SIGINT)

    monitor = make_monitor(stand_in("11.4.0.106"), messages, interrupted, every=0)
    assert monitor is not None
    assert not monitor.step_complete("Building engine", 0)
    with pytest.raises(KeyboardInterrupt):
        messages.reraise()


def test_layers_of_a_finished_engine_come_from_its_inspector() -> None:
    report = build(stand_in("10.3.0"), inspect=True).layers
    assert report.source == "engine"
    assert [(layer.name, layer.node, layer.outputs) for layer in report.layers] == [
        ("a fused", "mean", ("Half",)),
        ("only a name", "", ()),
    ]
    built = build(stand_in("10.3.0", loads=False), inspect=True)
    assert built.layers.source == "network"
    assert "does not load here" in built.notes[-1]
