"""Find what can be timed and time it."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

import onnx
import torch

from export.bench.runners import NotRun, Runner, runners_of, torch_runner
from export.bench.table import Bench
from export.bench.timing import measure
from export.source import open_source
from reid.artifact import MANIFEST, read_manifest
from reid.errors import UserError
from student.checkpoint import KIND

STUDENT_KEY = "reid.student_manifest_sha256"
"""Of a graph's metadata: the digest of the manifest of the student that it was made from."""
_PLACES = ("", "model/", "engines/")
_KINDS = ("student*.onnx", "student*.xml", "*.engine")


def files_of(places: Sequence[Path]) -> list[Path]:
    """Graphs and engines that names mean: files themselves, and what folders and unpacked bundles hold.

    Raises:
        UserError: one is not there, or holds none.
    """
    found: list[Path] = []
    for place in places:
        if place.is_file():
            found.append(place)
            continue
        if not place.is_dir():
            raise UserError(f"{place}: is not there; expected a graph, or a folder or bundle that holds some")
        held = sorted(path for kind in _KINDS for where in _PLACES for path in place.glob(where + kind))
        if not held:
            raise UserError(
                f"{place}: holds no student.*.onnx, no .xml and no .engine; make some with reid export onnx"
            )
        found += held
    return list(dict.fromkeys(found))


def names_of(paths: Sequence[Path]) -> list[str]:
    """What tables call files: by their names where those differ, else by as much of their paths as tells them apart."""
    if len({path.name for path in paths}) == len(paths):
        return [path.name for path in paths]
    whole = [path.absolute() for path in paths]
    common = Path(os.path.commonpath([path.parent for path in whole]))
    return [path.relative_to(common).as_posix() for path in whole]


def student_of(places: Sequence[Path], root: Path = Path("runs")) -> Path | None:
    """The student artifact below `root` that the first graph was made from, by the manifest's digest in its metadata.

    None if the graph does not say, or it is not there.
    """
    wanted = {_metadata(path).get(STUDENT_KEY) for path in files_of(places) if path.suffix == ".onnx"} - {None}
    for path in sorted(path for pattern in (f"*/{MANIFEST}", f"*/*/{MANIFEST}") for path in root.glob(pattern)):
        try:
            manifest = read_manifest(path.parent)
        except UserError:
            continue
        if manifest.kind == KIND and manifest.sha256 in wanted:
            return path.parent
    return None


def _metadata(path: Path) -> dict[str, str]:
    try:
        return {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    except Exception:  # the runners say what is wrong with it
        return {}


def run_bench(
    places: Sequence[Path], student: Path | None, batches: Sequence[int], *, threads: int, rounds: int
) -> Bench:
    """Time graphs and engines, and a student in torch beside them.

    Args:
        places: files and folders. student: the reference; None: without.
        batches: crops at once. threads: of one operator; 0: as many as this process may use. rounds: to count.

    Raises:
        UserError: nothing is there to time, or the student and a graph take images of different sizes.
    """
    threads = threads or len(os.sched_getaffinity(0))
    before = torch.get_num_threads()
    found: list[Runner | NotRun] = []
    if student is None:
        found.append(
            NotRun("-", "torch eager", "no student named, none found that the graphs were made from; --student FOLDER")
        )
    else:
        found.append(torch_runner(open_source(student)))
    paths = files_of(places)
    for path, name in zip(paths, names_of(paths), strict=True):
        found += runners_of(path, threads, name)
    runners = [each for each in found if isinstance(each, Runner)]
    sizes = {(runner.input.height, runner.input.width): runner.graph for runner in runners}
    if len(sizes) > 1:
        told = ", ".join(f"{graph} {height} x {width}" for (height, width), graph in sizes.items())
        raise UserError(f"images of different sizes ({told}); time graphs of one student, see --student")
    torch.set_num_threads(threads)
    try:
        latencies, failed = measure(runners, batches, rounds=rounds)
    finally:
        torch.set_num_threads(before)
    skipped = [each for each in found if isinstance(each, NotRun)]
    return Bench(tuple(latencies), (*skipped, *failed), threads, rounds, machine())


def machine() -> str:
    """The processor and how many cores this process may use."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {len(os.sched_getaffinity(0))} cores"
