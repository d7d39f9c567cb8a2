"""Write sketches and infrared views of a whole data set beside its photographs, resumably."""

from __future__ import annotations

import difflib
import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import islice
from multiprocessing import get_context
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reid.artifact import PARTIAL, write_text
from reid.dataset import Dataset
from reid.datasets.manifest import write_manifest
from reid.datasets.views import WRITTEN_SUFFIX
from reid.derive.filters import settle_allocator
from reid.derive.infrared import SENSORS, infrared
from reid.derive.sketch import HANDS, sketch
from reid.errors import UserError
from reid.images import read_rgb
from reid.modality import Modality
from reid.progress import progress_bar
from reid.sample import Sample

STYLES: dict[Modality, tuple[str, ...]] = {Modality.IR: tuple(SENSORS), Modality.SKETCH: tuple(HANDS)}
"""The styles that there are."""
DEFAULT_STYLES: dict[Modality, tuple[str, ...]] = {
    Modality.IR: ("active", "daylight", "lowlight"),
    Modality.SKETCH: tuple(HANDS),
}
"""The styles that are mixed if none is named; `thermal` is made on request, as most data sets are near-infrared."""
RECORD = "derive.json"
"""In each folder of views: what they were made with, so that two runs do not mix."""
MANIFEST = "samples-derived.jsonl"
VERSION = 1
"""Of the drawing itself: raised whenever equal settings would give other pictures."""
CHUNK = 16
"""Photographs per task of a worker process."""
PNG_END = b"IEND\xaeB`\x82"


@dataclass(frozen=True)
class DeriveReport:
    """What was done.

    Attributes:
        folders: where the views lie, by modality.
        written: how many views were made.
        kept: how many were there already.
        broken: the photographs that could not be read, with the reason.
        manifest: the file that lists the data set together with its views; None where its loader finds them itself.
    """

    folders: dict[Modality, tuple[Path, ...]]
    written: int
    kept: int
    broken: tuple[str, ...]
    manifest: Path | None = None

    def __str__(self) -> str:
        parts = [f"{self.written:,} views written"]
        parts += [f"{self.kept:,} were there already"] if self.kept else []
        unread = "1 photograph" if len(self.broken) == 1 else f"{len(self.broken):,} photographs"
        parts += [f"{unread} skipped for not decoding"] if self.broken else []
        where = ", ".join(str(folder) for folders in self.folders.values() for folder in folders)
        listed = f"; {self.manifest} lists them with the rest" if self.manifest is not None else ""
        return f"{', '.join(parts)}: {where}{listed}"


@dataclass(frozen=True)
class _View:
    """One picture to make."""

    modality: Modality
    style: str
    seed: int
    material_seed: int
    path: Path


@dataclass(frozen=True)
class _Task:
    """One photograph and the pictures to make of it."""

    sample: Sample
    views: tuple[_View, ...]


@dataclass(frozen=True)
class _Done:
    written: int = 0
    kept: int = 0
    error: str | None = None


def derive_dataset(
    dataset: Dataset,
    *,
    modalities: Sequence[Modality] = (Modality.IR, Modality.SKETCH),
    styles: Mapping[Modality, Sequence[str]] | None = None,
    out_root: Path | None = None,
    seed: int = 0,
    skip_broken: bool = False,
    workers: int = 1,
    progress: bool = True,
) -> DeriveReport:
    """Make a view of every RGB photograph, in the layout of the Tri- and quad-modal data sets.

    The views of `imgs/a/1.jpg` are `imgs-ir/a/1.png` and `imgs-sketch/a/1.png`. Each picture appears whole or not at
    all; those that are there are kept, so an interrupted run is taken up by the next. A photograph's pictures depend
    on the seed, its sample_id, its person (clothes have one infrared response) and its camera (an infrared camera has
    one style; sketches are by any hand), not on the other photographs.

    If the data set's loader does not look for views itself, `samples-derived.jsonl` lists all samples and views.

    Args:
        dataset: has RGB samples.
        modalities: infrared, sketch or both.
        styles: modality -> names out of `STYLES`; those of `DEFAULT_STYLES` where none is given.
        out_root: writes here instead of in the data set's root.
        seed: of everything random, >= 0.
        skip_broken: go on where a photograph does not decode.
        workers: processes, >= 1.
        progress: show a progress bar on a terminal.

    Raises:
        UserError: no photographs, no workers, an unknown style, a photograph that does not decode, a folder that
            cannot be written or holds pictures made otherwise.
    """
    if workers < 1:
        raise UserError(f"workers: {workers} is not possible; expected at least 1")
    chosen = {m: _check_styles(m, tuple((styles or {}).get(m, ())) or DEFAULT_STYLES[m]) for m in modalities}
    root = dataset.root if out_root is None else out_root
    tasks = _plan(dataset, chosen, root, seed)
    folders = {m: _prepare(root, tasks, m, chosen[m], seed) for m in modalities}
    written = kept = 0
    broken: dict[str, str] = {}
    with progress_bar(what="deriving", unit="photographs", total=len(tasks), shown=progress) as bar:
        for task, done in zip(tasks, _run(tasks, workers), strict=True):
            if done.error is not None:
                if not skip_broken:
                    raise UserError(done.error)
                broken[task.sample.sample_id] = done.error
            written, kept = written + done.written, kept + done.kept
            bar.update()
    if len(broken) == len(tasks):
        raise UserError(f"none of the {len(tasks):,} photographs decodes; {next(iter(broken.values()))}")
    manifest = None
    if any(m.value not in dataset.options for m in modalities):
        manifest = root / MANIFEST
        write_manifest(manifest, _all_samples(dataset, tasks, root, broken))
    return DeriveReport(folders, written, kept, tuple(broken.values()), manifest)


def view_name(sample: Sample, root: Path, modality: Modality) -> PurePosixPath:
    """Where the view of a photograph lies, relative to the root: `imgs/a/1.jpg` -> `imgs-sketch/a/1.png`.

    The view of a photograph directly in the root lies in `images-sketch`, that of `../b/1.jpg` in `b-sketch`.
    """
    assert sample.image is not None
    # Lexically: a folder of photographs may be a link to another disk, its views still belong beside the link.
    parts = [part for part in Path(os.path.relpath(sample.image, root)).parts if part != os.pardir]
    folder, *rest = parts if len(parts) > 1 else ["images", *parts]
    return PurePosixPath(folder + WRITTEN_SUFFIX[modality], *rest).with_suffix(".png")


def _check_styles(modality: Modality, names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in STYLES[modality]:
            near = difflib.get_close_matches(name, STYLES[modality], n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"expected some of {', '.join(STYLES[modality])}"
            raise UserError(f"'{name}' is not a style of {modality} views; {hint}")
    return names


def _plan(dataset: Dataset, styles: Mapping[Modality, Sequence[str]], root: Path, seed: int) -> list[_Task]:
    """What to make, one task per photograph; an image that several samples name counts once."""
    if not styles:
        raise UserError("no modality to derive; expected ir, sketch or both")
    tasks: list[_Task] = []
    source_of: dict[Path, Path] = {}
    for sample in dataset.select(modalities=(Modality.RGB,)):
        assert sample.image is not None
        views = tuple(_view(sample, dataset.root, root, m, styles[m], seed) for m in styles)
        first = source_of.get(views[0].path)
        if first == sample.image:
            continue
        if first is not None:
            raise UserError(f"{first} and {sample.image}: both views would be {views[0].path}; rename one of them")
        source_of[views[0].path] = sample.image
        tasks.append(_Task(sample, views))
    if not tasks:
        raise UserError(f"{dataset.root}: no RGB photographs in this '{dataset.kind}' data set; nothing to derive from")
    return tasks


def _view(sample: Sample, source: Path, root: Path, modality: Modality, styles: Sequence[str], seed: int) -> _View:
    own = _hash(seed, modality.value, sample.sample_id)
    # An infrared camera has one sensor and one lamp; a witness's sketch is drawn by whoever is on duty.
    artist = f"camera {sample.camera_id}" if modality is Modality.IR and sample.camera_id else sample.sample_id
    style = styles[_hash(seed, "style", modality.value, artist) % len(styles)]
    material = _hash(seed, "material", sample.person_id)
    return _View(modality, style, own, material, root / view_name(sample, source, modality))


def _hash(*parts: object) -> int:
    """A seed of 63 bits; the same on every machine and in every process."""
    return int.from_bytes(blake2b(repr(parts).encode(), digest_size=8).digest(), "big") >> 1


def _prepare(
    root: Path, tasks: Sequence[_Task], modality: Modality, styles: Sequence[str], seed: int
) -> tuple[Path, ...]:
    """Make the folders of one modality, or see that those which are there were made with the same settings."""
    names = {v.path.relative_to(root).parts[0] for task in tasks for v in task.views if v.modality is modality}
    record = {"modality": modality.value, "styles": sorted(styles), "seed": seed, "version": VERSION}
    folders = tuple(root / name for name in sorted(names))
    for folder in folders:
        try:
            found = _claim(folder, record)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise UserError(f"{folder}: cannot be written ({reason}); choose a folder of yours with --out") from error
        except ValueError as error:
            raise UserError(f"{folder / RECORD}: not JSON ({error}); remove {folder} and derive again") from error
        differ = [f"{key} {found.get(key)} (now {record[key]})" for key in record if found.get(key) != record[key]]
        if differ:
            raise UserError(f"{folder}: was made with {', '.join(differ)}; remove it or choose another --out")
    return folders


def _claim(folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    """What `folder` was made with, which is `record` if it is new."""
    file = folder / RECORD
    folder.mkdir(parents=True, exist_ok=True)
    if not file.is_file():
        if any(entry.name != RECORD + PARTIAL for entry in folder.iterdir()):
            raise UserError(f"{folder}: holds files that derive did not write; move it or choose another --out")
        write_text(file, json.dumps(record) + "\n")
    found = json.loads(file.read_text(encoding="utf-8"))
    return found if isinstance(found, dict) else {}


def _run(tasks: Sequence[_Task], workers: int) -> Iterator[_Done]:
    """The outcome of every task, in order."""
    if workers == 1 or len(tasks) <= CHUNK:
        settle_allocator()
        yield from map(_derive, tasks)
        return
    chunks = iter(tasks[start : start + CHUNK] for start in range(0, len(tasks), CHUNK))
    # Fresh processes: a fork of a threaded program (a progress bar, a BLAS) may hang.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=settle_allocator) as pool:
        under_way: deque[Future[list[_Done]]] = deque(pool.submit(_derive_all, c) for c in islice(chunks, 3 * workers))
        try:
            while under_way:
                yield from under_way.popleft().result()
                under_way.extend(pool.submit(_derive_all, chunk) for chunk in islice(chunks, 1))
        finally:
            pool.shutdown(cancel_futures=True)


def _derive_all(tasks: Sequence[_Task]) -> list[_Done]:
    return [_derive(task) for task in tasks]


def _derive(task: _Task) -> _Done:
    """Make the pictures of one photograph that are not there yet."""
    missing = [view for view in task.views if not _is_complete(view.path)]
    kept = len(task.views) - len(missing)
    if not missing:
        return _Done(0, kept)
    assert task.sample.image is not None
    try:
        rgb = np.asarray(read_rgb(task.sample.image))
    except UserError as error:
        return _Done(0, kept, str(error))
    for view in missing:
        if view.modality is Modality.SKETCH:
            picture = sketch(rgb, style=view.style, seed=view.seed)
        else:
            picture = infrared(rgb, style=view.style, seed=view.seed, material_seed=view.material_seed)
        _save(picture, view.path)
    return _Done(len(missing), kept)


def _is_complete(path: Path) -> bool:
    """Whether a whole PNG is there. A power cut can leave a file that is named but not filled."""
    try:
        with path.open("rb") as file:
            file.seek(-len(PNG_END), os.SEEK_END)
            return file.read() == PNG_END
    except OSError:
        return False


def _save(picture: NDArray[np.uint8], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + PARTIAL)
    try:
        Image.fromarray(picture).save(part, format="PNG")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _all_samples(dataset: Dataset, tasks: Sequence[_Task], root: Path, broken: Iterable[str]) -> Iterator[Sample]:
    """The data set's samples, then a sample for each view; a view that the data set already lists is not repeated."""
    known = {sample.sample_id for sample in dataset.samples}
    left_out = set(broken)
    yield from dataset.samples
    for task in tasks:
        photo = task.sample
        for view in task.views if photo.sample_id not in left_out else ():
            view_id = view.path.relative_to(root).as_posix()
            if view_id not in known:
                origin = photo.sample_id
                yield replace(photo, sample_id=view_id, modality=view.modality, image=view.path, source_id=origin)
