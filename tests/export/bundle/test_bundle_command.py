"""`export bundle`: what is wrong with the options is said before minutes are spent."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from small_bundles import key_pair, small_contents

import export.pipeline
from export.cli.bundle import bundle_command
from export.cli.options import STUDENT
from export.pipeline import Request
from reid.artifact import ArtifactWriter
from reid.errors import UserError
from student.checkpoint import KIND


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, Path, Any, Path | None]]:
    """What the pipeline was asked for; it makes nothing."""
    calls: list[tuple[Path, Path, Any, Path | None]] = []

    def make(student: Path, out: Path, request: Any, *, key: Path | None, say: object) -> Path:
        calls.append((student, out, request, key))
        return out

    monkeypatch.setattr(export.pipeline, "make_bundle", make)
    return calls


def bundle(*words: str | Path) -> Result:
    return CliRunner().invoke(bundle_command, [str(word) for word in words])


def test_the_short_form_takes_the_newest_student_and_makes_fp32_and_fp16_for_newer_jetsons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "student").mkdir(parents=True)
    small_contents(tmp_path / "runs" / "student", metadata=False)
    done = bundle()
    assert done.exit_code == 0, done.output
    student, out, request, key = asked[0]
    assert (student, out, key) == (Path("runs/student/student"), Path("runs/bundle/student"), None)
    assert request.precisions == ("fp32", "fp16")
    assert set(request.targets) == {"orin-nano", "orin-nano-super", "orin-nx", "agx-orin", "thor"}
    assert request.chosen_opset() == 17
    assert "taking the newest student" in done.output


def test_options_reach_the_pipeline(tmp_path: Path, asked: list[Any]) -> None:
    private, _ = key_pair(tmp_path)
    with ArtifactWriter(tmp_path / "s", "student", {}):
        pass
    done = bundle(
        tmp_path / "s", "--int8", "--fp16", "--target", "thor", "--batch", "1,4,32", "--workspace", "512", "--sign",
        private, "--allow-drift", "--data", "people", "--out", tmp_path / "x.tar.zst",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    _, out, request, key = asked[0]
    assert (out, key, request.precisions) == (tmp_path / "x.tar.zst", private, ("fp16", "int8"))
    assert (request.targets, str(request.profile), request.workspace) == (("thor",), "1,4,32", 512)
    assert (request.allow_drift, request.data) == (True, "people")
    assert "signed by key" in done.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--target", "orin-nanoo"), "no target 'orin-nanoo'; did you mean .*orin-nano"),
        (("--batch", "8,4,16"), r"--batch: .*8,4,16"),
        (("--sign", "none.pem"), r"none\.pem: cannot be read .*openssl genpkey"),
        (("--out", "taken"), "taken: already exists"),
        (("--out", "x.zip"), r"x\.zip: a bundle is no \.zip"),
        ((), "student: has no manifest.json"),
    ],
)
def test_a_wrong_option_is_refused_before_the_student_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[Any], words: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    done = bundle("student", *words)
    assert isinstance(done.exception, UserError)
    with pytest.raises(UserError, match=message):
        raise done.exception
    assert not asked


def test_a_target_whose_tensorrt_takes_no_types_gets_the_fp32_graph() -> None:
    asked = Request(precisions=("fp16", "int8"), targets=("orin-nano", "thor"))
    wide, told = asked.for_devices()
    assert wide.precisions == ("fp32", "fp16", "int8")
    assert "JetPack 6.0" in told
    for nothing_to_add in (
        Request(precisions=("fp16",), targets=("thor",)),
        Request(precisions=("fp32", "fp16"), targets=("orin-nano",)),
        Request(precisions=("int8",), targets=("orin-nano",), first="int8"),
    ):
        assert nothing_to_add.for_devices() == (nothing_to_add, "")


def test_trivial_errors_do_not_wait_for_torch(tmp_path: Path) -> None:
    with ArtifactWriter(tmp_path / "s", "student", {}):
        pass
    tries: list[list[str]] = [
        ["bundle", str(tmp_path / "s"), "--batch", "x"],
        ["bundle", str(tmp_path / "s"), "--out", str(tmp_path)],
        ["onnx", str(tmp_path / "none")],
        ["onnx", str(tmp_path / "s"), "--target", "x"],
        ["trt", str(tmp_path / "none.onnx")],
    ]
    program = (
        "import json, sys\nfrom export.cli import command\nfrom reid.errors import UserError\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    try:\n        command.main(words, standalone_mode=False)\n"
        "    except UserError:\n        continue\n"
        "    raise SystemExit(f'{words} passed')\n"
        "sys.exit('torch was imported' if 'torch' in sys.modules else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, json.dumps(tries)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_kind_of_a_student_is_the_one_that_students_have() -> None:
    assert STUDENT == KIND
