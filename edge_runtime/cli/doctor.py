"""`edge doctor`."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import click

from edge_runtime.cli.options import GALLERY, Speaker, json_option
from reid.errors import UserError
from reid.findings import Finding

LIBRARIES = {
    "numpy": ("", ""),
    "pillow": ("", ""),
    "safetensors": ("", ""),
    "onnxruntime": ("nothing can be embedded without a GPU", "edge"),
    "faiss-cpu": ("searches take NumPy, about twice as long", "edge"),
    "tokenizers": ("sentences need vectors from the cloud", "edge"),
    "zstandard": ("bundles must be unpacked, or .tar", "edge"),
    "cryptography": ("signatures cannot be checked", "edge"),
    "openvino": ("", ""),
    "opencv-python-headless": ("", ""),
    "pyarrow": ("no Arrow export; JSON lines work", "data"),
    "pymilvus": ("no sync to a Milvus server", "milvus"),
}
"""Distribution -> what is lost without it, and the extra that brings it."""


@click.command("doctor")
@click.option("--gallery", type=click.Path(path_type=Path), help=f"Default: {GALLERY}, if it is there.")
@click.option("--folder", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Whose disk to measure.")
@click.option("--min-free", type=click.IntRange(0), default=256, show_default=True, help="MiB that should be free.")
@json_option
@click.pass_context
def doctor_command(ctx: click.Context, gallery: Path | None, folder: Path | None, min_free: int, as_json: bool) -> None:
    """What works on this device, what does not, and why: libraries, engines, the disk, the gallery.

    The disk is measured where the gallery lies: how long one fdatasync takes, and whether that is plausible for such
    a drive. Exits with code 1 if something is wrong.
    """
    say = Speaker(as_json)
    if gallery is not None and not gallery.exists():
        raise UserError(f"{gallery}: no such gallery; enrol into it first or name another")
    place = gallery or (GALLERY if GALLERY.exists() else None)
    findings = [*_machine(), *_libraries(), *_engines()]
    findings += _disk(folder or (place.absolute().parent if place else Path.cwd()), min_free)
    if place is not None:
        findings += _gallery(place)
    for finding in findings:
        say.line(str(finding))
    bad = [finding for finding in findings if finding.state == "BAD"]
    say.document({"ok": not bad, "findings": [vars(finding) for finding in findings]})
    ctx.exit(1 if bad else 0)


def _machine() -> list[Finding]:
    from edge_runtime.device import look

    device = look()
    memory = f"{device.memory_free / 2**30:.1f} of {device.memory_total / 2**30:.1f} GiB free"
    board = device.model or "no name of a board"
    found = [Finding("ok", "machine", f"{board}, {device.machine}, {device.cores} cores, {memory}")]
    found.append(Finding("ok", "python", device.python))
    jetson = f"{device.l4t}, power mode {device.power_mode or 'unknown'}" if device.l4t else "not a Jetson"
    found.append(Finding("ok", "jetson", jetson))
    sms = ", ".join(f"sm{sm}" for sm in device.gpus)
    found.append(Finding("ok", "gpu", sms) if sms else Finding("note", "gpu", f"none: {device.no_gpu}"))
    return found


def _libraries() -> list[Finding]:
    found = []
    for name, (lost, extra) in LIBRARIES.items():
        version = _version(name)
        if version is not None:
            found.append(Finding("ok", name, version))
        elif lost:
            found.append(Finding("note", name, f"not installed: {lost}; pip install 'reid-distill[{extra}]'"))
    return found


def _engines() -> list[Finding]:
    from edge_runtime.engines.onnxruntime import providers
    from edge_runtime.engines.tensorrt.machine import look_around

    machine = look_around()
    found = [
        Finding("note", "engine tensorrt", machine.why_not)
        if machine.why_not
        else Finding("ok", "engine tensorrt", f"{machine.version} on sm{machine.sm}")
    ]
    there = providers()
    if there:
        found.append(Finding("ok", "engine onnxruntime", ", ".join(there)))
    version = _version("openvino")
    if version is not None:
        found.append(Finding("ok", "engine openvino", "CPU"))
    if machine.why_not and not there and version is None:
        found.append(Finding("BAD", "engine", "there is none; pip install 'reid-distill[edge]'"))
    return found


def _disk(folder: Path, min_free: int) -> list[Finding]:
    from edge_runtime.disk import measure

    try:
        flush = measure(folder)
    except UserError as error:
        return [Finding("BAD", "disk", str(error))]
    state = {"bad": "BAD", "doubtful": "note", "plausible": "ok"}[flush.verdict]
    drive = " ".join(part for part in (flush.filesystem, flush.device, flush.kind and f"({flush.kind})") if part)
    found = [Finding(state, "disk", f"{folder}, {drive or 'of which nothing is known'}: {'; '.join(flush.why)}")]
    room = f"{flush.free / 2**20:.0f} MiB"
    if flush.free < min_free * 2**20:
        return [*found, Finding("BAD", "free space", f"{room}, less than {min_free}; make room or delete old rows")]
    return [*found, Finding("ok", "free space", room)]


def _gallery(place: Path) -> list[Finding]:
    from edge_runtime.cli.verify import verify

    told: dict[str, Any] = verify(place, None)
    if told["problems"]:
        return [Finding("BAD", f"gallery {place}", problem) for problem in told["problems"]]
    return [Finding("ok", f"gallery {place}", f"verified, {told['held']}")]


def _version(distribution: str) -> str | None:
    names = [distribution, "onnxruntime-gpu"] if distribution == "onnxruntime" else [distribution]
    names += ["opencv-python"] if distribution == "opencv-python-headless" else []
    for name in names:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None
