"""The extras, the pins and the code agree on what is installed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reid.extras import EXTRAS

ROOT = Path(__file__).parents[1]
tomllib = pytest.importorskip("tomllib", reason="tomllib comes with Python 3.11")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


MODULES = {
    "faiss-cpu": "faiss",
    "pyyaml": "yaml",
    "scikit-learn": "sklearn",
    "tensorrt-rtx-cu13-bindings": "tensorrt_rtx_bindings",
    "tensorrt-rtx-cu13-libs": "tensorrt_rtx_libs",
}
"""Distribution -> its module, where the names differ."""


def names(requirements: list[str]) -> set[str]:
    """Distribution names of requirement lines."""
    return {re.split(r"[\[<>=;! ]", line, maxsplit=1)[0].lower() for line in requirements} - {"reid-distill"}


def test_every_direct_dependency_is_pinned() -> None:
    direct = names(PROJECT["dependencies"])
    for extra in PROJECT["optional-dependencies"].values():
        direct |= names(extra)
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.split("==")[0] for line in lines if "==" in line}
    assert direct == pinned


@pytest.mark.parametrize("extra", EXTRAS)
def test_a_missing_extra_is_recognised_by_all_of_its_modules(extra: str) -> None:
    brought = names(PROJECT["optional-dependencies"][extra])
    assert set(EXTRAS[extra]) == {MODULES.get(name, name) for name in brought}
