from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from stand_in import stand_in

from edge_runtime.device import jetson_linux
from edge_runtime.engines.tensorrt import modules
from edge_runtime.engines.tensorrt.modules import Found, Host, called, find_trt, look_around
from export.targets import find_target
from export.tensorrt.plan import plan_for
from reid.errors import UserError


class FakeRtx:
    """Of TensorRT-RTX what tells it from TensorRT."""

    __version__ = "1.7"
    Builder = object
    IBuilderConfig = SimpleNamespace(num_compute_capabilities=1)


def host(*names: str, gpus: tuple[int, ...] = ()) -> Host:
    every: dict[str, Any] = {"tensorrt": stand_in("10.3.0"), "tensorrt-rtx": FakeRtx}
    found = {name: Found(name, every[name], every[name].__version__) for name in names}
    missing = {name: "not installed" for name in every if name not in names}
    return Host(found, missing, gpus, "" if gpus else "the CUDA driver finds none")


@pytest.mark.parametrize(
    ("target", "here", "action", "by", "sms"),
    [
        ("host", host("tensorrt", "tensorrt-rtx", gpus=(86,)), "build", "tensorrt", ()),
        ("host", host("tensorrt-rtx", gpus=(86,)), "build", "tensorrt-rtx", ()),
        ("host", host("tensorrt", "tensorrt-rtx"), "none", None, ()),
        ("host", host(gpus=(86,)), "none", None, ()),
        ("rtx-ada", host("tensorrt-rtx"), "build", "tensorrt-rtx", (89,)),
        ("rtx-blackwell", host("tensorrt-rtx"), "build", "tensorrt-rtx", (120, 121)),
        ("rtx-ada", host("tensorrt", gpus=(89,)), "build", "tensorrt", ()),
        ("rtx-ada", host("tensorrt", gpus=(86,)), "none", None, ()),
        ("rtx-ada", host("tensorrt", "tensorrt-rtx", gpus=(86,)), "build", "tensorrt-rtx", (89,)),
        ("orin-nano", host("tensorrt", gpus=(87,)), "build", "tensorrt", ()),
        ("orin-nano", host("tensorrt", "tensorrt-rtx", gpus=(86,)), "proof", "tensorrt-rtx", (86,)),
        ("orin-nano", host("tensorrt", gpus=(86,)), "none", None, ()),
        ("orin-nano", host(), "none", None, ()),
        ("thor", host("tensorrt-rtx"), "proof", "tensorrt-rtx", (120,)),
    ],
)  # fmt: skip
def test_what_can_be_built_where(target: str, here: Host, action: str, by: str | None, sms: tuple[int, ...]) -> None:
    plan = plan_for(find_target(target), here)
    assert plan.action == action
    assert (plan.found.name if plan.found else None) == by
    assert plan.sms == sms


def test_a_proof_says_that_it_is_one() -> None:
    why = plan_for(find_target("agx-orin"), host("tensorrt-rtx")).why
    assert "can only be built on the device" in why
    assert "proves that the graph parses and builds and nothing more" in why


@pytest.mark.parametrize(
    ("target", "here", "words"),
    [
        ("rtx-ada", host(), ["tensorrt-rtx (not installed)", "pip install 'reid-distill[tensorrt-rtx]'"]),
        ("orin-nx", host(), ["tensorrt (not installed)", "JetPack"]),
        ("host", host("tensorrt"), ["a GPU (the CUDA driver finds none)", "rtx-*"]),
        ("host", host(gpus=(86,)), ["pip install 'reid-distill[tensorrt]'"]),
    ],
)
def test_what_is_missing_is_said_and_how_to_get_it(target: str, here: Host, words: list[str]) -> None:
    why = plan_for(find_target(target), here).why
    assert all(word in why for word in words), why


def test_a_module_is_named_by_what_it_can_do() -> None:
    assert called(stand_in("8.6.1")) == "TensorRT 8.6.1"
    assert called(FakeRtx) == "TensorRT-RTX 1.7"
    assert Found("tensorrt-rtx", FakeRtx, "1.7").ahead_of_time
    assert not Found("tensorrt", stand_in("11.4.0.106"), "11.4").ahead_of_time


def test_an_unknown_module_and_one_that_is_not_there_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="--trt: found 'trt'; expected tensorrt or tensorrt-rtx"):
        find_trt("trt")
    monkeypatch.setitem(sys.modules, "tensorrt", None)  # type: ignore[arg-type]
    with pytest.raises(
        UserError, match=r"tensorrt: not installed; get it with: pip install 'reid-distill\[tensorrt\]'"
    ):
        find_trt("tensorrt")
    monkeypatch.setitem(sys.modules, "tensorrt", ModuleType("tensorrt"))
    with pytest.raises(UserError, match="has no Builder"):
        look_around("tensorrt")


def test_a_library_that_does_not_load_is_a_reason_and_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise OSError(f"libnvinfer.so.10: cannot open\nshared object file ({name})")

    monkeypatch.setattr(modules, "import_module", broken)
    here = look_around()
    assert here.found == {}
    assert here.missing["tensorrt"] == "libnvinfer.so.10: cannot open shared object file (tensorrt)"


def test_a_jetsons_linux_is_read_from_its_release(tmp_path: Path) -> None:
    release = tmp_path / "nv_tegra_release"
    assert jetson_linux(release) is None
    release.write_text("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n")
    assert jetson_linux(release) == "r36.4"
