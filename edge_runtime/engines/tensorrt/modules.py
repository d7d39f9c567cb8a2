"""Which TensorRT and which GPU this machine has."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from edge_runtime.device import find_gpus
from reid.errors import UserError

MODULES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx_bindings"}
"""As asked for with --trt -> the module."""
INSTALL = {
    "tensorrt": "pip install 'reid-distill[tensorrt]' (a Jetson has it from JetPack: apt install python3-libnvinfer)",
    "tensorrt-rtx": "pip install 'reid-distill[tensorrt-rtx]' (x86-64; builds without a GPU)",
}


@dataclass(frozen=True)
class Found:
    """A TensorRT that can be imported.

    Attributes:
        name: "tensorrt" or "tensorrt-rtx". trt: the module. version: as it says itself.
    """

    name: str
    trt: Any
    version: str

    @property
    def ahead_of_time(self) -> bool:
        """Whether it builds for a GPU that is not there."""
        return ahead_of_time(self.trt)

    def __str__(self) -> str:
        return called(self.trt)


@dataclass(frozen=True)
class Host:
    """What engines can be built with here.

    Attributes:
        found: TensorRTs by name. missing: why another cannot be imported, by name.
        gpus: compute capabilities of the GPUs, 87 for 8.7. no_gpu: why there is none, in words.
    """

    found: dict[str, Found]
    missing: dict[str, str]
    gpus: tuple[int, ...]
    no_gpu: str = ""

    @property
    def tensorrt(self) -> Found | None:
        """TensorRT proper."""
        return self.found.get("tensorrt")

    @property
    def rtx(self) -> Found | None:
        """TensorRT-RTX."""
        return self.found.get("tensorrt-rtx")

    def lacks(self) -> str:
        """What is missing and how to get it, in words."""
        lines = [f"{name} ({why}): {INSTALL[name]}" for name, why in self.missing.items()]
        lines += [] if self.gpus else [f"a GPU ({self.no_gpu})"]
        return "; ".join(lines)


def ahead_of_time(trt: Any) -> bool:
    """Whether this module builds for compute capabilities that it is told, which only TensorRT-RTX does."""
    return hasattr(trt.IBuilderConfig, "num_compute_capabilities")


def called(trt: Any) -> str:
    """A module's product and version, in words."""
    return f"{'TensorRT-RTX' if ahead_of_time(trt) else 'TensorRT'} {getattr(trt, '__version__', '')}".rstrip()


def find_trt(name: str) -> Found:
    """The TensorRT of this name.

    Raises:
        UserError: it is not known, or cannot be imported; how to get it is said.
    """
    if name not in MODULES:
        raise UserError(f"--trt: found '{name}'; expected {' or '.join(MODULES)}")
    try:
        trt = import_module(MODULES[name])
    except (ImportError, OSError, RuntimeError) as error:
        # OSError and RuntimeError: its Python is there but one of the libraries behind it is not.
        why = "not installed" if isinstance(error, ModuleNotFoundError) else " ".join(str(error).split())
        raise UserError(f"{MODULES[name]}: {why}; get it with: {INSTALL[name]}") from error
    if not hasattr(trt, "Builder"):
        raise UserError(f"{MODULES[name]}: has no Builder, so it cannot build; get it with: {INSTALL[name]}")
    return Found(name, trt, str(getattr(trt, "__version__", "unknown")))


def look_around(wanted: str | None = None) -> Host:
    """What this machine has.

    Args:
        wanted: look for this TensorRT alone ("tensorrt", "tensorrt-rtx").

    Raises:
        UserError: the one that is wanted cannot be imported.
    """
    found: dict[str, Found] = {}
    missing: dict[str, str] = {}
    for name in MODULES if wanted is None else (wanted,):
        try:
            found[name] = find_trt(name)
        except UserError as error:
            if wanted is not None:
                raise
            missing[name] = str(error).partition(": ")[2].partition("; get it with")[0]
    gpus, why = find_gpus()
    return Host(found, missing, gpus, why)
