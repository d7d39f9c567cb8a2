"""Write a world to disk as a data set that `reid.datasets.manifest` reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from reid.artifact import ArtifactWriter, write_text
from reid.datasets.manifest import write_manifest
from reid.errors import UserError
from reid.modality import Modality
from reid.progress import progress_bar
from reid.sample import Sample
from reid.synthetic.person import told
from reid.synthetic.sketch import hand_of
from reid.synthetic.world import World

_CHUNK = 64  # samples per task of a worker


def write_world(
    world: World,
    out: Path,
    modalities: Iterable[Modality] | None = None,
    per_camera: int | None = None,
    *,
    workers: int = 1,
    progress: bool = True,
) -> int:
    """Write `images/{rgb,ir,sketch}/*.png`, `samples.jsonl`, `people.json` and `manifest.json` under `out`.

    PNG is lossless, so the pixels that are read back are those of `World.render`, on any machine.

    Args:
        world: what to write.
        out: appears whole or not at all.
        modalities, per_camera: instead of the world's.
        workers: processes that render. progress: show a bar.

    Returns:
        How many samples were written.

    Raises:
        UserError: `out` exists or cannot be written, or `modalities` is empty, or `workers` is less than 1.
    """
    if modalities is not None:
        world = replace(world, modalities=tuple(modalities))
    if per_camera is not None:
        world = replace(world, per_camera=per_camera)
    if workers < 1:
        raise UserError(f"workers: {workers} is not possible; expected at least 1")
    settings = json.loads(json.dumps({**asdict(world), "modalities": [str(m) for m in world.modalities]}))
    with ArtifactWriter(out, "dataset", {"command": "data synth", "seed": world.seed, "world": settings}) as artifact:
        folder = artifact.path
        for modality in world.modalities:
            if modality.is_image:
                (folder / "images" / modality.value).mkdir(parents=True)
        with progress_bar(what="synthetic people", unit="samples", total=len(world), shown=progress) as bar:
            count = write_manifest(folder / "samples.jsonl", _counted(_made(world, folder, workers), bar))
        write_text(folder / "people.json", people_json(world))
        artifact.details.update(people=world.people, samples=count)
    return count


def people_json(world: World) -> str:
    """The attributes of every person, person_id -> attributes that the person has, for the analysis of errors."""
    people = {}
    for number in range(world.people):
        hands = ", ".join(hand_of(world.seed, number, shot).name for shot in range(world.sketches))
        about = {"split": str(world.split(number)), **told(world.person(number)), "sketched by": hands}
        people[world.person_id(number)] = {name: value for name, value in about.items() if value}
    return json.dumps(people, indent=1) + "\n"


def _counted(samples: Iterable[Sample], bar: tqdm[Any]) -> Iterator[Sample]:
    for sample in samples:
        yield sample
        bar.update()


def _made(world: World, folder: Path, workers: int) -> Iterator[Sample]:
    """The samples in order, each after its image was written."""
    if workers == 1 or len(world) <= _CHUNK:
        for index in range(len(world)):
            yield _make(world, folder, index)
        return
    tasks = [range(start, min(start + _CHUNK, len(world))) for start in range(0, len(world), _CHUNK)]
    # Fresh processes: a fork of a threaded program (a progress bar, a BLAS) may hang.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            yield from chain.from_iterable(pool.map(_Maker(world, folder), tasks))
        finally:
            pool.shutdown(cancel_futures=True)


class _Maker:
    """What a worker does; a class because the pool has to send it."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.folder = world, folder

    def __call__(self, indices: range) -> list[Sample]:
        return [_make(self.world, self.folder, index) for index in indices]


def _make(world: World, folder: Path, index: int) -> Sample:
    sample = world.sample(index, folder)
    if sample.image is not None:
        try:
            # Level 3 is four times as fast as the default and hardly larger: grain does not compress.
            Image.fromarray(world.render(index)).save(sample.image, compress_level=3)
        except OSError as error:
            raise UserError(f"{sample.image}: cannot be written ({error.strerror or error})") from error
    return sample
