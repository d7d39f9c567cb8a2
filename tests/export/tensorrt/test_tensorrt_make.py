"""`export trt` from end to end, with ONNX files and bundles; TensorRT-RTX builds, other TensorRTs are stand-ins."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from click.testing import CliRunner
from native import compiler, fake_cudart
from small_bundles import small_bundle
from small_graphs import means
from stand_in import flags, stand_in

from edge_runtime.cuda import Cuda
from edge_runtime.engines.tensorrt.modules import Found, Host
from edge_runtime.engines.tensorrt.options import BuildOptions
from export.batch import Profile
from export.cli.trt import trt_command
from export.pipeline import Request as Wanted
from export.targets import find_target
from export.tensorrt import make
from export.tensorrt.artifact import EngineOf
from export.tensorrt.make import EngineRequest, make_engine
from export.tensorrt.recipe import trtexec
from reid.artifact import ArtifactWriter, expect_kind
from reid.errors import UserError

PROFILE = Profile(2, 3, 4)


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "student.fp32.onnx"
    path.write_bytes(means())
    return path


def host(trt: Any = None, *, gpus: tuple[int, ...] = ()) -> Host:
    found = {} if trt is None else {"tensorrt": Found("tensorrt", trt, trt.__version__)}
    return Host(found, {} if found else {"tensorrt": "not installed"}, gpus, "" if gpus else "no driver")


def request(source: Path, target: str = "host", precision: str = "fp32", **more: Any) -> EngineRequest:
    options = BuildOptions(precision, PROFILE)
    return EngineRequest(source, find_target(target), replace(options, **more.pop("options", {})), **more)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    if compiler() is None:
        pytest.skip("there is no gcc")
    library = fake_cudart(tmp_path_factory.mktemp("cuda"))
    monkeypatch.setattr(make, "Cuda", lambda: Cuda(library))


@pytest.mark.usefixtures("gpu")
def test_with_tensorrt_and_a_gpu_the_engine_is_built_run_and_timed(graph: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    out = make_engine(request(graph, out=tmp_path / "out"), host(stand_in("10.3.0"), gpus=(87,)), lines.append)
    manifest = expect_kind(out, "engine")
    assert set(manifest.files) == {"student.fp32.engine", "engine.json", "layers.json"}
    sidecar = json.loads((out / "engine.json").read_text())
    assert sidecar["key"].endswith(".trt10.3.0.sm87.fp32.b2-3-4")
    assert sidecar["layers"]["source"] == "engine"
    assert [latency["batch"] for latency in sidecar["latency_ms"]] == [2, 3, 4]
    assert any("latency, batch 4: median 1.500 ms" in line for line in lines)
    assert any("parity gate was not run: a single ONNX file" in line for line in lines)


@pytest.mark.usefixtures("gpu")
def test_8_6_is_given_the_fp32_graph_for_fp16(graph: Path, tmp_path: Path) -> None:
    trt = stand_in("8.6.1")
    make_engine(request(graph, precision="fp16", out=tmp_path / "out"), host(trt, gpus=(87,)), lambda line: None)
    assert "FP16" in flags(trt)
    assert not json.loads((tmp_path / "out" / "engine.json").read_text())["tensorrt"]["typed"]


def test_a_build_that_is_interrupted_leaves_nothing(
    graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*given: Any, **more: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(make, "build_engine", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_engine(request(graph, out=tmp_path / "out"), host(stand_in("10.3.0"), gpus=(87,)), lambda line: None)
    assert [path.name for path in tmp_path.iterdir()] == [graph.name]


def test_a_full_disk_leaves_nothing(graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if self.suffix == ".engine":
            raise OSError(28, "No space left on device")
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr(make, "_judged", lambda *given: {"parity": {}})
    with pytest.raises(UserError, match=r"student.fp32.engine: cannot be written \(No space left on device\)"):
        make_engine(request(graph, out=tmp_path / "out"), host(stand_in("10.3.0"), gpus=(87,)), lambda line: None)
    assert [path.name for path in tmp_path.iterdir()] == [graph.name]


def test_an_out_that_is_there_is_refused_before_anything_is_built(graph: Path, tmp_path: Path) -> None:
    trt = stand_in("10.3.0")
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="already exists"):
        make_engine(request(graph, out=tmp_path / "out"), host(trt, gpus=(87,)), lambda line: None)
    assert trt.calls == []


def test_without_anything_to_build_with_it_is_an_error_that_says_what_is_missing(graph: Path) -> None:
    with pytest.raises(UserError, match=r"no engine was made: .*missing: a GPU \(no driver\)"):
        make_engine(request(graph), host(), lambda line: None)
    with pytest.raises(UserError, match=r"no engine was made: .*tensorrt \(not installed\): pip install"):
        make_engine(request(graph, "rtx-ada"), host(), lambda line: None)


@pytest.mark.parametrize(
    ("target", "precision", "words"),
    [
        ("orin-nano", "fp16", "--dla 0: orin-nano has none"),
        ("agx-orin", "fp32", "--dla: computes in fp16 and int8 only"),
    ],
)
def test_a_dla_that_cannot_be_is_refused(graph: Path, target: str, precision: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        make_engine(request(graph, target, precision, options={"dla": 0}), host(), lambda line: None)


def test_a_folder_that_is_neither_student_nor_bundle_is_said_to_be_what_it_is(tmp_path: Path) -> None:
    with ArtifactWriter(tmp_path / "d", "dataset", {}):
        pass
    with pytest.raises(UserError, match="is an artifact of kind 'dataset'; expected 'student', 'bundle' or an ONNX"):
        make_engine(request(tmp_path / "d"), host(), lambda line: None)
    with pytest.raises(UserError, match="is not there"):
        make_engine(request(tmp_path / "none"), host(), lambda line: None)


@pytest.mark.parametrize(
    ("target", "here", "precisions", "targets"),
    [
        ("orin-nano", host(), ("fp16", "fp32"), ("orin-nano",)),  # its JetPack 6.0 has TensorRT 8.6
        ("thor", host(), ("fp16",), ("thor",)),
        ("rtx-ada", host(), ("fp16",), ()),
        ("host", host(stand_in("8.6.1"), gpus=(86,)), ("fp16", "fp32"), ()),
    ],
)
def test_a_student_becomes_a_bundle_of_the_graphs_that_the_target_needs(
    target: str,
    here: Host,
    precisions: tuple[str, ...],
    targets: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Up to the making of the bundle, which has tests of its own."""
    asked: list[Any] = []

    def made(student: Path, out: Path, wanted: Any, *, say: Any) -> Path:
        asked.append(wanted)
        raise UserError("far enough")

    monkeypatch.setattr("export.tensorrt.graphs.make_bundle", made)
    monkeypatch.chdir(tmp_path)
    with ArtifactWriter(tmp_path / "s", "student", {}):
        pass
    with pytest.raises(UserError, match="far enough"):
        make_engine(request(tmp_path / "s", target, "fp16", options={"workspace": 99}), here, lambda line: None)
    (wanted,) = asked
    assert (wanted.precisions, wanted.targets) == (precisions, targets)
    assert (wanted.profile, wanted.workspace, wanted.first) == (PROFILE, 99, "fp16")


def test_bundles_of_two_targets_or_precisions_do_not_take_each_others_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []

    def note(student: Path, out: Path, wanted: Any, *, say: Any) -> Path:
        made.append(out)
        raise UserError("far enough")

    monkeypatch.setattr("export.tensorrt.graphs.make_bundle", note)
    monkeypatch.chdir(tmp_path)
    with ArtifactWriter(tmp_path / "s", "student", {}):
        pass
    asked = [("rtx-ada", "fp16"), ("rtx-ampere", "fp16"), ("rtx-ada", "fp32"), ("host", "fp16")]
    for target, precision in asked:
        with pytest.raises(UserError, match="far enough"):
            make_engine(request(tmp_path / "s", target, precision), host(), lambda line: None)
    assert [path.name for path in made] == [f"s-{target}-{precision}" for target, precision in asked]


def test_a_graph_that_says_another_precision_is_refused(graph: Path, tmp_path: Path) -> None:
    model = onnx.load(graph)
    model.metadata_props.add(key="reid.precision", value="fp32")
    onnx.save(model, graph)
    here = host(stand_in("10.3.0"), gpus=(87,))
    with pytest.raises(UserError, match=r"has no graph in fp16, only fp32; make one with: reid export bundle --fp16"):
        make_engine(request(graph, precision="fp16", out=tmp_path / "out"), here, lambda line: None)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_a_device_whose_last_jetpack_reads_no_types_is_not_promised_any(graph: Path, precision: str) -> None:
    with pytest.raises(UserError, match=f"--{precision}: xavier has JetPack 5.1 at most, whose TensorRT 8.5 does not"):
        make_engine(request(graph, "xavier", precision), host(), lambda line: None)


def test_the_engines_own_place_is_looked_at_before_a_bundle_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with ArtifactWriter(tmp_path / "s", "student", {}):
        pass
    (tmp_path / "runs/engine/s-host-fp32").mkdir(parents=True)
    here = host(stand_in("10.3.0"), gpus=(87,))
    with pytest.raises(UserError, match="runs/engine/s-host-fp32: already exists"):
        make_engine(request(tmp_path / "s"), here, lambda line: None)


def test_a_second_run_takes_the_bundle_of_the_first_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []

    def small(student: Path, out: Path, wanted: Any, *, say: Any) -> Path:
        made.append(out)
        writer = {"command": "export bundle", **wanted.told()}
        small_bundle(tmp_path, out.relative_to(tmp_path), parent=student, targets=("thor",), writer=writer)
        return out

    monkeypatch.setattr("export.tensorrt.graphs.make_bundle", small)
    monkeypatch.chdir(tmp_path)
    with ArtifactWriter(tmp_path / "s", "student", {}):
        pass
    out = tmp_path / "made"
    for _ in range(2):
        assert make_engine(request(tmp_path / "s", "thor", out=out), host(), lambda line: None) == out
    assert made == [out]
    other = request(tmp_path / "s", "thor", out=out, wanted=Wanted(seed=1))
    with pytest.raises(UserError, match=r"made: already exists, .*choose another name with --out, .*reid export trt"):
        make_engine(other, host(), lambda line: None)
    with ArtifactWriter(tmp_path / "t", "student", {"seed": 1}):
        pass
    with pytest.raises(UserError, match=r"was not made of this student by this request"):
        make_engine(request(tmp_path / "t", "thor", out=out), host(), lambda line: None)


def test_what_is_missing_is_said_before_a_student_is_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []

    def refuse(student: Path, out: Path, wanted: Any, *, say: Any) -> Path:
        assert "missing: " in lines[0]
        raise UserError("far enough")

    monkeypatch.setattr("export.tensorrt.graphs.make_bundle", refuse)
    monkeypatch.chdir(tmp_path)
    with ArtifactWriter(tmp_path / "s", "student", {}):
        pass
    with pytest.raises(UserError, match="far enough"):
        make_engine(request(tmp_path / "s"), host(), lines.append)


def test_the_key_differs_in_all_that_makes_another_engine() -> None:
    found, plain = Found("tensorrt", stand_in("10.3.0"), "10.3.0"), BuildOptions("fp16", Profile(1, 8, 16))
    of = EngineOf("0123456789abcdef", "orin-nano", (87,), "r36.4")
    assert of.key(found, plain) == "0123456789ab.trt10.3.0.sm87.r36.4.fp16.b1-8-16"
    others = [
        replace(plain, precision="int8"), replace(plain, profile=Profile(1, 8, 32)), replace(plain, dla=0),
        replace(plain, version_compatible=True), replace(plain, weight_stripped=True), replace(plain, level=5),
        replace(plain, workspace=64), replace(plain, hardware_compatible=True),
        replace(plain, tokens=Profile(1, 8, 16)),
    ]  # fmt: skip
    keys = {of.key(found, options) for options in [plain, *others]}
    keys |= {replace(of, onnx_sha256="f" * 64).key(found, plain), replace(of, sms=(86, 89)).key(found, plain)}
    assert len(keys) == len(others) + 3


def test_trtexec_is_called_with_the_same_wishes() -> None:
    options = BuildOptions("fp16", Profile(1, 8, 16), workspace=1024, level=4, fp32_nodes=("norm one",))
    line = trtexec(options, "a b.onnx", "x.engine", {"pixels": (3, 256, 128), "modality": ()}, typed=True)
    words = shlex.split(line)
    assert words[:3] == ["trtexec", "--onnx=a b.onnx", "--saveEngine=x.engine"]
    assert "--optShapes=pixels:8x3x256x128,modality:8" in words
    assert {"--stronglyTyped", "--memPoolSize=workspace:1024", "--builderOptimizationLevel=4"} <= set(words)
    assert "--fp16" not in words
    old = shlex.split(trtexec(options, "a.onnx", "x.engine", {"pixels": (3, 256, 128)}, typed=False))
    assert {"--fp16", "--precisionConstraints=obey", "--layerPrecisions=norm one:fp32"} <= set(old)
    assert "--stronglyTyped" not in old


def run(*arguments: str) -> Any:
    return CliRunner().invoke(trt_command, list(arguments))


def test_the_command_builds_ahead_of_time_for_an_rtx_card(graph: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX is not installed", exc_type=ImportError)
    out = tmp_path / "out"
    result = run(str(graph), "--fp32", "--target", "rtx-ampere", "--batch", "1,2,4", "--out", str(out))
    assert result.exit_code == 0, result.output
    sidecar = json.loads((out / "engine.json").read_text())
    assert sidecar["sm"] == [86]
    assert sidecar["bytes"] == (out / "student.fp32.engine").stat().st_size
    assert sidecar["profile"] == {"minimum": 1, "optimum": 2, "maximum": 4}
    assert "not run: its GPU is not here" in result.output
    assert json.loads((out / "layers.json").read_text())["layers"]


def test_the_command_proves_a_graph_for_a_jetson_and_keeps_no_engine(graph: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX is not installed", exc_type=ImportError)
    result = run(str(graph), "--fp32", "--target", "orin-nano", "--trt", "tensorrt-rtx")
    assert result.exit_code == 0, result.output
    assert "an engine for orin-nano can only be built on the device" in result.output
    assert "proved: the fp32 graph parses and builds" in result.output
    assert [path.name for path in tmp_path.iterdir()] == [graph.name]
    lines = run(str(graph), "--fp32", "--target", "orin-nano", "--level", "5", "--version-compatible").output
    assert "the bundle's recipe does without these options; on the device: trtexec --onnx=" in lines
    assert "--builderOptimizationLevel=5 --versionCompatible" in lines
    kept = tmp_path / "proof"
    result = run(str(graph), "--fp32", "--target", "orin-nano", "--keep-proof", str(kept))
    assert result.exit_code == 0, result.output
    assert expect_kind(kept, "engine").details["proof"]
    assert (kept / "student.fp32.proof-sm86.engine").is_file()
    again = run(str(graph), "--fp32", "--target", "orin-nano", "--keep-proof", str(kept))
    assert f"{kept}: already exists" in str(again.exception)
    assert "building" not in again.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "orin-nanoo"], "no target 'orin-nanoo'; did you mean orin-nano"),
        (["--batch", "8,4,16"], "--batch: sizes 8,4,16"),
    ],
)
def test_the_command_refuses_what_cannot_be(graph: Path, arguments: list[str], words: str) -> None:
    result = run(str(graph), *arguments)
    assert isinstance(result.exception, UserError)
    assert words in str(result.exception)
