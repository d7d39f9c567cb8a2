"""`reid doctor`."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Iterator, Mapping
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from reid import __version__
from reid.extras import EXTRAS
from reid.findings import Finding

BASE = ("click", "numpy", "pillow", "safetensors", "tqdm")
"""Distributions of the base install."""
LOST = {
    "data": "no embedding stores, plots or .mat files",
    "cloud": "no training, distilling or exporting",
    "edge": "a device cannot embed without a GPU, nor read compressed or signed bundles",
    "openvino": "CPUs run ONNX Runtime alone",
    "milvus": "no sync to a Milvus server",
}
"""Extra -> what is lost without it. TensorRT's are looked at by their libraries."""
OPTIONAL = {
    "torch_tensorrt": "export torch-trt writes the ExportedProgram alone; pip install torch-tensorrt (NVIDIA GPUs)",
    "modelopt": "no --precision-backend autocast; pip install nvidia-modelopt",
    "bitsandbytes": "no tuning.quantise; pip install bitsandbytes (NVIDIA GPUs)",
}
"""Module that no extra brings -> what is lost without it, and how to get it."""


@click.command("doctor")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=".",
    show_default=True,
    help="Where ./runs will lie: whose disk is looked at.",
)
@click.option("--min-free", type=click.IntRange(0), default=2048, show_default=True, help="MiB that should be free.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def doctor_command(ctx: click.Context, folder: Path, min_free: int, as_json: bool) -> None:
    """What works on this machine, what is missing, and how to get it: versions, extras, devices, TensorRTs, disk.

    Exits with code 1 if something is wrong. `edge doctor` looks at a device's engines, gallery and flushes as well,
    `teacher doctor` at a teacher.

    \b
    reid doctor
    reid doctor --folder /data/work --json
    """
    findings = [*_versions(), *_extras(), *_optional(), *_torch(), *_machine(), *_tensorrt(), *_disk(folder, min_free)]
    good = all(finding.state != "BAD" for finding in findings)
    if as_json:
        click.echo(json.dumps({"ok": good, "findings": [vars(finding) for finding in findings]}, ensure_ascii=False))
    else:
        for finding in findings:
            click.echo(str(finding))
    ctx.exit(0 if good else 1)


def _versions() -> Iterator[Finding]:
    yield Finding("ok", "reid-distill", __version__)
    yield Finding("ok", "python", f"{platform.python_version()}, {platform.system()} {platform.machine()}")
    yield Finding("ok", "base", ", ".join(f"{name} {_version(name)}" for name in BASE))


def _extras() -> Iterator[Finding]:
    names = metadata.packages_distributions()
    for extra, modules in EXTRAS.items():
        if extra.startswith("tensorrt"):
            continue
        missing = [module for module in modules if find_spec(module) is None]
        if missing:
            lost = LOST.get(extra, "what it brings cannot be used")
            words = f"without {', '.join(missing)}: {lost}; pip install 'reid-distill[{extra}]'"
            yield Finding("note", f"extra {extra}", words)
            continue
        yield Finding("ok", f"extra {extra}", ", ".join(_versions_of(modules, names)))


def _optional() -> Iterator[Finding]:
    names = metadata.packages_distributions()
    for module, lost in OPTIONAL.items():
        if find_spec(module) is None:
            yield Finding("note", module, f"not installed: {lost}")
        else:
            yield Finding("ok", module, _versions_of((module,), names)[0])


def _torch() -> Iterator[Finding]:
    """What PyTorch computes on. It is imported, because a wheel of the wrong kind shows only then."""
    if find_spec("torch") is None:
        return
    try:
        torch = import_module("torch")
        built, there = torch.version.cuda, torch.cuda.is_available()
        cards = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())] if there else []
    except (ImportError, OSError, RuntimeError) as error:
        # OSError: a library of CUDA or the C++ runtime that it was built with is not here.
        yield Finding(
            "BAD", "torch", f"is installed and does not load ({' '.join(str(error).split())}); install it anew"
        )
        return
    for card in cards:
        yield Finding(
            "ok", "torch device", f"{card.name}, {card.total_memory / 2**30:.0f} GiB, sm{card.major}{card.minor}"
        )
    if not cards:
        why = f"built for CUDA {built}, which finds no GPU" if built else "this torch is built for CPUs"
        yield Finding("note", "torch device", f"cpu, {torch.get_num_threads()} threads; {why}")


def _machine() -> Iterator[Finding]:
    device = _edge("device").look()
    memory = f"{device.memory_free / 2**30:.1f} of {device.memory_total / 2**30:.1f} GiB free"
    yield Finding("ok", "machine", f"{device.model or device.machine}, {device.cores} cores, {memory}")
    if device.l4t:
        yield Finding("ok", "jetson", f"{device.l4t}, power mode {device.power_mode or 'unknown'}")
    if device.gpus:
        yield Finding("ok", "gpu", ", ".join(f"sm{sm}" for sm in device.gpus))
    else:
        yield Finding("note", "gpu", f"none: {device.no_gpu}")


def _tensorrt() -> Iterator[Finding]:
    modules = _edge("engines.tensorrt.modules")
    host = modules.look_around()
    for name in modules.MODULES:
        if name in host.found:
            builds = "builds for RTX cards that are not here, too" if host.found[name].ahead_of_time else "builds here"
            if not host.gpus and not host.found[name].ahead_of_time:
                builds = "has no GPU to build for"
            yield Finding("ok", name, f"{host.found[name].version}, {builds}")
        else:
            yield Finding("note", name, f"{host.missing[name]}; {modules.INSTALL[name]}")


def _disk(folder: Path, min_free: int) -> Iterator[Finding]:
    free = shutil.disk_usage(folder).free >> 20
    if free < min_free:
        yield Finding(
            "BAD", "disk", f"{folder}: {free} MiB free, less than {min_free}; make room or take another place"
        )
    else:
        yield Finding("ok", "disk", f"{folder}: {free / 1024:.1f} GiB free")


def _edge(module: str) -> Any:
    """A module of the runtime, which comes with every install; by name, as the umbrella finds its commands."""
    return import_module(f"edge_runtime.{module}")


def _versions_of(modules: tuple[str, ...], names: Mapping[str, list[str]]) -> list[str]:
    found = [names.get(module, [module])[0] for module in modules]
    return [f"{name} {_version(name)}" for name in dict.fromkeys(found)]


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "of unknown version"
