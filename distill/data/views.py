"""Augmented views that teacher and student both see: the teacher once, into a store; the student whenever it is drawn.

A view's random numbers follow from the seed, the view's number and the sample's id, so they are the same for both,
whatever else is in the data set. Shifts and rectangles are shares of the image, so they are the same in any input size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from reid.artifact import MANIFEST
from reid.dataset import Dataset
from reid.embeddings import EmbeddingStore
from reid.modality import Modality
from reid.sample import Sample, Split
from teacher.data.augmentation import augment_images, random_numbers
from teacher.embedder import Embedder
from teacher.embedding import digest_of, fingerprint, write_samples
from teacher.settings import Augmentation
from teacher.teacher import Teacher

_SEPARATOR = "#view-"


def view_id(sample: Sample, view: int) -> str:
    """What a view of a sample is called in its store."""
    return f"{sample.sample_id}{_SEPARATOR}{view}"


def view_numbers(seed: int, view: int, sample_ids: Sequence[str]) -> NDArray[np.float64]:
    """[n, 16] uniform random numbers of a view of samples, as `augment_images` takes them."""
    keys = [int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little") for name in sample_ids]
    return random_numbers(seed, view, keys)


@dataclass
class ViewEmbedder(Embedder):
    """Embeds views of images.

    Attributes:
        seed: of the views. how: the augmentation.
    """

    seed: int = 0
    how: Augmentation | None = None

    def _read(self, samples: Sequence[Sample], modality: Modality, rows: Sequence[int]) -> Tensor | None:
        pixels = super()._read(samples, modality, rows)
        assert pixels is not None
        assert self.how is not None
        names = [samples[row].sample_id.rpartition(_SEPARATOR) for row in rows]
        numbers = np.concatenate([view_numbers(self.seed, int(view), [name]) for name, _, view in names])
        return augment_images(pixels, [modality] * len(rows), numbers, self.how)


def reuse_views(
    teacher: Teacher,
    dataset: Dataset,
    out: Path,
    view: int,
    *,
    seed: int,
    how: Augmentation,
    source: str = "",
    say: Callable[[str], None] = print,
) -> EmbeddingStore:
    """The store of one view of each training image at `out`, made if it is not there.

    Raises:
        UserError: as `teacher.embedding.write_store`; or what is there is of something else, which is named.
    """
    made_of = {
        **fingerprint(teacher, dataset),
        "view": f"{view} of seed {seed}",
        "augmentation": digest_of(how.model_dump()),
    }
    if not out.exists():
        images = [sample for sample in dataset.select(Split.TRAIN) if sample.modality.is_image]
        samples = [replace(sample, sample_id=view_id(sample, view)) for sample in images]
        embedder = ViewEmbedder(teacher.encoder, teacher.readout_neck, seed=seed, how=how)
        parents = [dataset.root, *([Path(teacher.checkpoint)] if teacher.checkpoint else [])]
        write_samples(
            embedder,
            samples,
            out,
            fingerprint=made_of,
            writer={"command": "distill run", "recipe": teacher.recipe.name},
            parents=[parent for parent in parents if (parent / MANIFEST).is_file()],
            source=source,
            say=say,
        )
    store = EmbeddingStore.open(out)
    store.expect_fingerprint(made_of)
    return store
