"""`export bundle`: what is wrong with the options is said before minutes are spent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from small_bundles import key_pair, small_contents

import export.pipeline
from export.cli.bundle import bundle_command
from reid.errors import UserError


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
