"""Programs of torch.export, for real; Torch-TensorRT needs a GPU, and is stood in for where its calls matter."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from small_export import small_source

from export.batch import Profile
from export.cli.torch_trt import torch_trt_command
from export.crops import synthetic_crops
from export.source import Source
from export.torch_tensorrt.compile import compile_to, find_torch_tensorrt, precision_settings
from export.torch_tensorrt.make import PROGRAM, make_programs, run_program
from export.torch_tensorrt.program import exported_program, load_program, save_program
from reid.artifact import expect_kind
from reid.errors import UserError


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return small_source(tmp_path_factory.mktemp("student") / "s")


def normalised(source: Source, pixels: np.ndarray[Any, Any]) -> torch.Tensor:
    """What the student takes, by its own numbers and plain arithmetic."""
    preprocessing = source.preprocessing
    mean, std = (
        np.array(values, dtype=np.float32)[:, None, None] for values in (preprocessing.mean, preprocessing.std)
    )
    return torch.from_numpy((pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255 - mean) / std)


@pytest.mark.parametrize("profile", [Profile(2, 2, 4), Profile(1, 1, 1)], ids=str)
def test_a_program_that_is_loaded_again_is_the_student(source: Source, profile: Profile, tmp_path: Path) -> None:
    path = tmp_path / "student.pt2"
    program = exported_program(source, profile)
    with pytest.raises((RuntimeError, AssertionError)):
        program.module()(torch.zeros(profile.maximum + 1, 3, 128, 64))
    save_program(program, path)
    crops = synthetic_crops(source.preprocessing, 3)  # nine: the last batch is filled up
    with torch.inference_mode():
        expected = source.student(normalised(source, crops.pixels)).numpy()
    np.testing.assert_allclose(run_program(path, crops, profile), expected, rtol=1e-3, atol=1e-4)
    assert [left.name for left in tmp_path.iterdir()] == ["student.pt2"]


def test_a_student_with_a_stem_for_each_modality_is_told_them(tmp_path: Path) -> None:
    source = small_source(tmp_path / "s", stems="modality")
    save_program(exported_program(source, Profile(1, 2, 4)), tmp_path / "p.pt2")
    crops = synthetic_crops(source.preprocessing, 1)
    with torch.inference_mode():
        expected = source.student(normalised(source, crops.pixels), torch.from_numpy(crops.codes)).numpy()
    np.testing.assert_allclose(run_program(tmp_path / "p.pt2", crops, Profile(1, 2, 4)), expected, rtol=1e-3, atol=1e-4)


def test_a_file_that_is_no_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.pt2").write_bytes(b"not a program")
    with pytest.raises(UserError, match="not an exported program"):
        load_program(tmp_path / "x.pt2")


def test_the_command_writes_a_program_with_its_parity(source: Source, tmp_path: Path) -> None:
    arguments = [str(source.folder), "--exported-program-only", "--batch", "1,2,4", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(torch_trt_command, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    manifest = expect_kind(tmp_path / "out", "torch-program")
    assert set(manifest.files) == {PROGRAM}
    assert manifest.details["parity"]["cosine_min"] > 0.99999
    assert manifest.parents[0].kind == "student"


@pytest.mark.skipif("torch_tensorrt" in sys.modules, reason="torch-tensorrt is here")
def test_without_torch_tensorrt_the_way_out_is_said_and_nothing_is_written(source: Source, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"torch-tensorrt .*pip install torch-tensorrt; --exported-program-only"):
        make_programs(source.folder, tmp_path / "out", "fp16", Profile(1, 2, 4), print)
    assert list(tmp_path.iterdir()) == []


def test_without_a_gpu_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_tensorrt", SimpleNamespace())  # type: ignore[arg-type]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="torch finds no NVIDIA GPU"):
        find_torch_tensorrt()


class FakeTorchTensorRT:
    """The calls of Torch-TensorRT that are used, with the arguments of version 2.5 on; not the thing itself."""

    def __init__(self, fails: bool = False) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.fails = fails
        self.dynamo = SimpleNamespace(
            compile=self._compile, convert_exported_program_to_serialized_trt_engine=self._engine
        )

    @staticmethod
    def Input(**given: Any) -> dict[str, Any]:
        return given

    def _compile(self, program: Any, *, arg_inputs: Any, enabled_precisions: Any, workspace_size: int = 0) -> str:
        if self.fails:
            raise RuntimeError("no\nkernel")
        self.calls.append(("compile", {"inputs": arg_inputs, "types": enabled_precisions, "workspace": workspace_size}))
        return "compiled"

    def _engine(self, program: Any, *, arg_inputs: Any, enabled_precisions: Any, workspace_size: int = 0) -> bytes:
        return b"engine"

    def save(self, module: str, path: str, *, output_format: str, retrace: bool) -> None:
        Path(path).write_text(f"{module} {output_format}")


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.torch_tensorrt.compile.move_to_device_pass", lambda program, device: program)


@pytest.mark.usefixtures("on_cpu")
def test_compiling_writes_the_program_with_engines_and_the_engine(source: Source, tmp_path: Path) -> None:
    module = FakeTorchTensorRT()
    profile = Profile(1, 2, 4)
    program: Any = "program"
    names = compile_to(module, program, source, "fp16", profile, tmp_path, workspace=64)
    assert names == ["student.fp16.torch-trt.pt2", "student.fp16.engine"]
    assert (tmp_path / names[0]).read_text() == "compiled exported_program"
    assert (tmp_path / names[1]).read_bytes() == b"engine"
    (name, given), *_ = module.calls
    assert name == "compile"
    assert given["types"] == {torch.float16, torch.float32}
    assert given["workspace"] == 64 << 20
    (pixels,) = given["inputs"]
    assert (pixels["min_shape"], pixels["opt_shape"], pixels["max_shape"]) == tuple(
        (size, 3, 128, 64) for size in (1, 2, 4)
    )


@pytest.mark.usefixtures("on_cpu")
def test_what_does_not_compile_is_said_in_its_words_and_leaves_nothing(source: Source, tmp_path: Path) -> None:
    program: Any = "program"
    with pytest.raises(UserError, match=r"does not compile it \(no kernel\); reid export trt builds from ONNX"):
        compile_to(FakeTorchTensorRT(fails=True), program, source, "fp32", Profile(1, 2, 4), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_newer_versions_convert_types_themselves() -> None:
    def compile(program: Any, *, enable_autocast: bool = False) -> None: ...

    newer = SimpleNamespace(dynamo=SimpleNamespace(compile=compile))
    assert precision_settings(newer, "fp32") == {}
    assert precision_settings(newer, "bf16") == {"enable_autocast": True, "autocast_low_precision_type": torch.bfloat16}
    with pytest.raises(UserError, match="--int8: torch-tensorrt takes fp32, fp16, bf16 here"):
        precision_settings(newer, "int8")
