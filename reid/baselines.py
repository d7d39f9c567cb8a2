"""Embeddings that need no training: what any model has to beat."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reid.artifact import MANIFEST
from reid.dataset import Dataset
from reid.embeddings import StoreWriter
from reid.errors import UserError
from reid.images import read_rgb
from reid.modality import Modality
from reid.progress import progress_bar
from reid.readable import readable
from reid.sample import Sample

ROWS, COLUMNS = 8, 4


@dataclass(frozen=True)
class Baseline:
    """What a baseline does: its name on the command line, the width of its embeddings, and the modalities it reads."""

    name: str
    dim: int
    modalities: tuple[Modality, ...]


BASELINES = {
    "random": Baseline("random", 128, tuple(Modality)),
    "colour": Baseline("colour", ROWS * COLUMNS * 3, (Modality.RGB, Modality.IR, Modality.SKETCH)),
}


def random_embedding(sample_id: str, dim: int, seed: int) -> NDArray[np.float32]:
    """[dim] normal numbers that depend on the sample id and the seed alone: they know nothing and score chance."""
    digest = hashlib.sha256(f"{seed}:{sample_id}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little"))).standard_normal(
        dim, np.float32
    )


def colour_embedding(image: Image.Image) -> NDArray[np.float32]:
    """[96] mean colours of 8 x 4 cells of an RGB image, the image's mean colour taken off."""
    cells = np.asarray(image.resize((COLUMNS, ROWS), Image.Resampling.BOX), dtype=np.float32)
    # The 1 keeps an image of one single colour from becoming a zero vector.
    return np.asarray(cells - cells.mean(axis=(0, 1)) + 1.0).ravel()


def write_baseline(
    dataset: Dataset,
    name: str,
    out: Path,
    *,
    source: str,
    seed: int = 0,
    skip_broken: bool = False,
    progress: bool = True,
) -> int:
    """Write an embedding store of a baseline over a whole data set.

    Args:
        dataset: what to embed; samples of a modality that the baseline cannot read are left out.
        name: a key of `BASELINES`.
        out: the store's folder.
        source: where the data came from, for people.
        seed: of the random baseline.
        skip_broken: leave out images that do not decode instead of stopping.
        progress: show a bar if it takes over two seconds.

    Returns:
        How many broken images were left out.

    Raises:
        UserError: an image does not decode, nothing is left to embed, or `out` exists.
    """
    baseline = BASELINES[name]
    samples = [s for s in dataset.samples if s.modality in baseline.modalities]
    # Shards are planned before the first is written, so broken images have to be known by then.
    usable = readable(samples, progress=progress) if skip_broken and name != "random" else samples
    if not usable:
        raise UserError(f"{dataset.root}: nothing that the baseline '{name}' can embed")
    fingerprint = {"model": f"baseline {name} 1", "seed": str(seed), "data": dataset.fingerprint()}
    writer = {"command": f"reid baseline --kind {name}", "seed": seed}
    with StoreWriter(
        out,
        usable,
        baseline.dim,
        fingerprint=fingerprint,
        writer=writer,
        protocols=dataset.protocols,
        dataset=source,
        parents=[dataset.root] if (dataset.root / MANIFEST).is_file() else [],
        dtype="float32",
    ) as plan:
        for shard in progress_bar(plan.pending(), what=name, unit="shards", shown=progress):
            rows = [_embed(sample, name, baseline.dim, seed) for sample in plan.rows(shard)]
            plan.write(shard, np.stack(rows))
    return len(samples) - len(usable)


def _embed(sample: Sample, name: str, dim: int, seed: int) -> NDArray[np.float32]:
    if name == "random":
        return random_embedding(sample.sample_id, dim, seed)
    assert sample.image is not None
    return colour_embedding(read_rgb(sample.image))
