"""What the packages may import: the house's rule that arrows point down, and what a device can afford."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("reid", "teacher", "student", "distill", "export", "edge_runtime")
MAY_IMPORT = {
    "reid": set(),
    "edge_runtime": {"reid"},
    "student": {"reid", "edge_runtime"},
    "teacher": {"reid", "edge_runtime"},
    "distill": {"reid", "edge_runtime", "student", "teacher"},
    "export": {"reid", "edge_runtime", "student"},
}


def imports_of(path: Path) -> set[str]:
    """Top-level names of everything that a file imports, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_arrows_point_down(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        wrong = imports_of(path) & (set(PACKAGES) - {package} - MAY_IMPORT[package])
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_nothing_imports_what_is_not_allowed() -> None:
    for path in [p for package in (*PACKAGES, "benchmarks") for p in (ROOT / package).rglob("*.py")]:
        wrong = imports_of(path) & {"torchvision", "timm", "pickle"}
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


@pytest.mark.parametrize("package", ["reid", "edge_runtime"])
def test_a_device_imports_numpy_and_pillow_and_little_else(package: str) -> None:
    """All modules of the package, imported in a fresh interpreter, load nothing that a device does not have."""
    script = (
        "import importlib, pkgutil, sys\n"
        f"import {package}\n"
        f"for m in pkgutil.walk_packages({package}.__path__, {package!r} + '.'):\n"
        "    if not m.name.endswith('__main__'): importlib.import_module(m.name)\n"
        "print(' '.join(sorted({n.split('.')[0] for n in sys.modules} - set(sys.stdlib_module_names))))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = {name for name in done.stdout.split() if not name.startswith(("_", "reid", package))}
    # The editable install of a development checkout brings its own finder.
    assert loaded <= {"numpy", "PIL", "click", "tqdm", "sitecustomize", "cython_runtime"}, loaded
