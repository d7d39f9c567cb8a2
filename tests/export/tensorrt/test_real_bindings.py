"""The builder and the runner through the real Python bindings of TensorRT.

NVIDIA's wheels of the bindings hold their C++ part, which checks names, numbers and types of all arguments; the
libraries behind it are stand-ins compiled here (universal.cpp). Nothing is built, so this says which API is used, not
that an engine is right. Name a folder of wheels in REID_TENSORRT_WHEELS:

    pip download --no-deps -d wheels tensorrt-bindings==8.6.1
    pip download --no-deps -d wheels tensorrt-cu12-bindings==10.3.0
    pip download --no-deps -d wheels tensorrt-cu13-bindings==11.4.0.106
    REID_TENSORRT_WHEELS=wheels pytest tests/export/tensorrt/test_real_bindings.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from native import HERE, compiler, fake_cudart, stub_libraries
from stand_in import API, VERSIONS

ROOT = HERE.parents[2]
WHEELS = os.environ.get("REID_TENSORRT_WHEELS", "")
_TAG = f"cp{sys.version_info.major}{sys.version_info.minor}"


def wheels() -> list[Path]:
    return sorted(Path(WHEELS).glob(f"tensorrt*bindings-*-{_TAG}-*.whl")) if WHEELS else []


@pytest.fixture(scope="module", params=[pytest.param(wheel, id=wheel.name.split("-")[1]) for wheel in wheels()])
def said(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the child found with one version."""
    folder = tmp_path_factory.mktemp("bindings")
    with zipfile.ZipFile(request.param) as wheel:
        wheel.extractall(folder)
    libraries = folder / "libraries"
    libraries.mkdir()
    stub = stub_libraries(folder / "tensorrt_bindings", libraries)
    child = [sys.executable, str(HERE / "real_bindings_child.py"), str(folder), str(stub), str(fake_cudart(libraries))]
    environment = {**os.environ, "LD_LIBRARY_PATH": str(libraries), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(child, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


if not wheels() or compiler() is None:
    pytest.skip(
        f"REID_TENSORRT_WHEELS names no folder with wheels of tensorrt bindings for {_TAG}, or there is no gcc",
        allow_module_level=True,
    )


def test_every_precision_and_option_passes_the_bindings_checks(said: dict[str, Any]) -> None:
    for precision in ("fp32", "fp16", "int8"):
        assert said[precision] == {"typed": not said["version"].startswith("8."), "notes": []}
    assert said["options"] == said["dla"] == "plan"
    assert not said["ahead_of_time"]


def test_what_a_version_lacks_is_refused_before_it_is_called(said: dict[str, Any]) -> None:
    old = said["version"].startswith("8.")
    assert said["bf16"] == (
        {"refused": "--bf16: TensorRT 8.6.1 has no BuilderFlag.BF16; leave it out"}
        if old
        else {"typed": True, "notes": []}
    )
    assert ("has no BuilderFlag.STRIP_PLAN" in said["stripped"]) is old
    assert "builds only for the GPU it runs on" in said["other chip"]
    assert said["monitor"] is not old
    assert said.get("bound") == ([] if old else None)


def test_the_parsers_error_and_the_inspector_are_read(said: dict[str, Any]) -> None:
    assert said["error"] == (["number 1", "unknown operator"] if said["version"].startswith("8.") else ["pixels"] * 2)
    assert said["inspector"] == "pixels"
    assert said["profile"] == [[-1, 3, 128, 64]] * 3


def test_an_engine_is_run_and_captured(said: dict[str, Any]) -> None:
    assert said["runs"] == [16, "batch 16: median 1.500 ms, p99 1.500 ms (3 runs, CUDA graph)"]


def test_the_stand_ins_names_are_those_of_the_bindings(said: dict[str, Any]) -> None:
    """api/VERSION.json, which the other tests rely on, is what the real module has."""
    if said["version"] not in VERSIONS:
        pytest.skip(f"no names are kept of {said['version']}")
    kept = json.loads((API / f"{said['version']}.json").read_text(encoding="utf-8"))
    real = {name: set(members) for name, members in said["names"].items()}
    for name, members in kept.items():
        assert set(members) <= real[name], name
