"""Crops of people in every modality: what a precision is calibrated on, and what it is judged by."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_runtime.preprocess import Preprocessing
from reid.dataset import Dataset
from reid.datasets import open_dataset
from reid.errors import UserError
from reid.images import read_rgb
from reid.modality import Modality
from reid.sample import Sample, Split
from reid.synthetic.world import World
from reid.synthetic.write import write_world

IMAGE_MODALITIES = tuple(modality for modality in Modality if modality.is_image)
"""A graph's codes of modalities are places in this."""


@dataclass(frozen=True)
class Crops:
    """n images, fitted to a student's input.

    Attributes:
        pixels: uint8 [n, H, W, 3].
        samples: [n] whose images they are.
        origin: where they come from, in words.
    """

    pixels: NDArray[np.uint8]
    samples: tuple[Sample, ...]
    origin: str

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """[n] theirs."""
        return tuple(sample.modality for sample in self.samples)

    @cached_property
    def codes(self) -> NDArray[np.int64]:
        """[n] places of their modalities in `IMAGE_MODALITIES`."""
        return np.array([IMAGE_MODALITIES.index(modality) for modality in self.modalities], dtype=np.int64)

    @cached_property
    def sha256(self) -> str:
        """Of shape, pixels and modalities."""
        digest = hashlib.sha256(repr(self.pixels.shape).encode())
        digest.update(np.ascontiguousarray(self.pixels).tobytes())
        digest.update(self.codes.tobytes())
        return digest.hexdigest()

    def inputs(self) -> NDArray[np.float32]:
        """float32 [n, 3, H, W] from 0 to 255, as the graphs take them."""
        return np.ascontiguousarray(self.pixels.transpose(0, 3, 1, 2)).astype(np.float32)

    def take(self, rows: Sequence[int] | slice) -> Crops:
        """Those at `rows`, in that order."""
        numbers = range(len(self))[rows] if isinstance(rows, slice) else rows
        return Crops(self.pixels[list(numbers)], tuple(self.samples[row] for row in numbers), self.origin)

    def batches(self, size: int) -> Iterator[Crops]:
        """In order, `size` at a time; the last may be smaller."""
        for start in range(0, len(self), size):
            yield self.take(slice(start, start + size))


def read_crops(
    dataset: Dataset,
    preprocessing: Preprocessing,
    per_modality: int | None,
    *splits: Split,
    seed: int = 0,
    origin: str = "",
) -> Crops:
    """Images of a data set, as evenly over modalities and people as it allows.

    Args:
        dataset: whose.
        preprocessing: fits them.
        per_modality: of each modality that it has; None: all.
        splits: of these people; any, if none is named.
        seed: which of a person's images.
        origin: where they come from, in words; by default the data set's root.

    Raises:
        UserError: there is none, or one does not decode.
    """
    chosen: list[Sample] = []
    for modality in IMAGE_MODALITIES:
        having = dataset.select(*(splits or tuple(Split)), modalities=(modality,))
        chosen += having if per_modality is None else _spread(having, per_modality, seed)
    if not chosen:
        who = f"people of split {', '.join(splits)}" if splits else "people"
        raise UserError(f"{dataset.root}: no images of {who}; name a data set that has some with --data")
    images = [preprocessing.fit(read_rgb(sample.image)) for sample in chosen if sample.image is not None]
    return Crops(np.stack(images), tuple(chosen), origin or str(dataset.root))


def synthetic_crops(preprocessing: Preprocessing, per_modality: int, seed: int = 0) -> Crops:
    """Images of people that never existed, the same on every machine."""
    people = max(4, -(-per_modality // 2))
    world = World(seed, people, cameras=2, per_camera=1, modalities=IMAGE_MODALITIES)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "people"
        write_world(world, place, progress=False)
        return read_crops(
            open_dataset(str(place)), preprocessing, per_modality, seed=seed, origin=f"synthetic people, seed {seed}"
        )


def _spread(samples: Sequence[Sample], count: int, seed: int) -> list[Sample]:
    """`count` samples in rounds over the people, so that nobody comes twice before everybody came once."""
    rng = np.random.default_rng(seed)
    of_person: dict[str, list[Sample]] = {}
    for row in rng.permutation(len(samples)):
        of_person.setdefault(samples[row].person_id, []).append(samples[row])
    rounds = max(map(len, of_person.values()), default=0)
    order = [people[i] for i in range(rounds) for people in of_person.values() if i < len(people)]
    return order[:count]
