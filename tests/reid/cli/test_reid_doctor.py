"""`reid doctor`: what it names, what it calls bad, and that a bare environment is enough for it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

import reid.cli.doctor as doctor
from reid.extras import EXTRAS


@pytest.fixture(autouse=True)
def _no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its import takes seconds; one test has an imitation."""
    monkeypatch.setattr(doctor, "_torch", lambda: iter(()))


def found(out: str) -> dict[str, dict[str, str]]:
    return {finding["about"]: finding for finding in json.loads(out)["findings"]}


def test_lines_and_document_say_the_same(reid: Any) -> None:
    told = json.loads(reid("doctor", "--min-free", 0, "--json").out)
    done = reid("doctor", "--min-free", 0)
    assert done.code == 0
    assert told["ok"] is True
    abouts = [line[5:].partition(": ")[0] for line in done.out.splitlines()]
    assert abouts == [finding["about"] for finding in told["findings"]]
    assert {"reid-distill", "python", "base", "machine", "gpu", "tensorrt", "tensorrt-rtx", "disk"} <= set(abouts)


def test_every_extra_is_looked_at_and_its_versions_are_told(reid: Any) -> None:
    told = found(reid("doctor", "--json").out)
    assert {f"extra {extra}" for extra in EXTRAS if not extra.startswith("tensorrt")} <= set(told)
    if told["extra cloud"]["state"] == "ok":
        assert "PyYAML" in told["extra cloud"]["words"]  # the distribution's name, not the module's


def test_a_missing_extra_is_a_note_that_says_what_is_lost_and_how_to_get_it(
    reid: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name == "faiss" else object())
    done = reid("doctor", "--min-free", 0, "--json")
    finding = found(done.out)["extra edge"]
    assert done.code == 0
    assert finding["state"] == "note"
    assert finding["words"].startswith("without faiss: a device cannot embed")
    assert finding["words"].endswith("pip install 'reid-distill[edge]'")


def test_too_little_room_is_bad(reid: Any) -> None:
    done = reid("doctor", "--min-free", 10**9)
    assert done.code == 1
    assert next(line for line in done.out.splitlines() if line.startswith("BAD")).startswith("BAD  disk: ")


def test_a_torch_that_does_not_load_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()

    def broken(name: str) -> Any:
        raise OSError("libcudart.so.13: cannot open shared object file")

    monkeypatch.setattr(doctor, "find_spec", lambda name: object())
    monkeypatch.setattr(doctor, "import_module", broken)
    (finding,) = doctor._torch()
    assert finding.state == "BAD"
    assert "libcudart.so.13" in finding.words


def test_a_bare_environment_is_enough() -> None:
    """Without anything of the extras: no module of theirs is loaded, and the answer is the same kind of document."""
    modules = sorted({module for names in EXTRAS.values() for module in names})
    script = (
        "import sys\n"
        f"for name in {modules!r}: sys.modules[name] = None\n"
        "import importlib.util, reid.cli.doctor as doctor\n"
        "real = importlib.util.find_spec\n"
        f"doctor.find_spec = lambda name: None if name in {modules!r} else real(name)\n"
        "sys.argv = ['reid', 'doctor', '--min-free', '0', '--json']\n"
        "from reid.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = found(done.stdout)
    assert {told[f"extra {extra}"]["state"] for extra in ("data", "cloud", "edge", "openvino")} == {"note"}
    assert "torch device" not in told
