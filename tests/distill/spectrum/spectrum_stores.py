"""Small stores of people who can be told apart, in as many modalities as a test wants."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from reid.embeddings import EmbeddingStore, StoreWriter
from reid.modality import Modality
from reid.sample import Sample, Split

DIM = 24
EVERYBODY = {Split.TRAIN: 20, Split.VAL: 10}


def samples_of(people: dict[Split, int], modalities: Sequence[Modality], each: int = 3) -> list[Sample]:
    """`each` samples of every person in every modality; images by different cameras."""
    return [
        Sample(
            f"{split}-{person}-{modality}-{number}",
            f"{split}-{person}",
            modality,
            split,
            f"c{number}" if modality in (Modality.RGB, Modality.IR) else None,
            Path("x.jpg") if modality.is_image else None,
            None if modality.is_image else "a person",
        )
        for split, count in people.items()
        for person in range(count)
        for modality in modalities
        for number in range(each)
    ]


def vectors_of(samples: Sequence[Sample]) -> np.ndarray:
    """A centre per person in a space of falling variances, an offset per modality, one mean for all, and noise."""
    rng = np.random.default_rng(0)
    dim, noise = DIM, 0.3
    scales = np.arange(1, dim + 1) ** -1.0
    centres = {person: scales * rng.standard_normal(dim) for person in dict.fromkeys(s.person_id for s in samples)}
    offsets = {modality: 0.3 * rng.standard_normal(dim) / np.sqrt(dim) for modality in Modality}
    rows = [
        centres[s.person_id] + offsets[s.modality] + 0.1 + noise * scales * rng.standard_normal(dim) for s in samples
    ]
    return np.array(rows, dtype=np.float32)


def make_store(
    out: Path,
    people: dict[Split, int] = EVERYBODY,
    modalities: Sequence[Modality] = tuple(Modality),
    *,
    dtype: str = "float32",
    shard_rows: int = 100,
    blur: float = 0,
) -> EmbeddingStore:
    """Written and opened."""
    samples = samples_of(people, modalities)
    vectors = vectors_of(samples)
    if blur:
        # A direction in which samples differ most, and that says nothing of who it is.
        vectors[:, -1] += blur * np.random.default_rng(1).standard_normal(len(vectors)).astype(np.float32)
    with StoreWriter(
        out, samples, vectors.shape[1], fingerprint={"model": "m"}, writer={}, dtype=dtype, shard_rows=shard_rows
    ) as plan:
        for shard in plan.pending():
            plan.write(shard, vectors[shard * shard_rows : (shard + 1) * shard_rows])
    return EmbeddingStore.open(out)


def unit_rows(store: EmbeddingStore, split: Split | None = None) -> np.ndarray:
    """Float64, of length 1, of one split or all: what a subspace is made of."""
    rows = store.embeddings().astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows if split is None else rows[[s is split for s in store.table.split]]
