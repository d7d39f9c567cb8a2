"""Stores of a teacher that knows who people are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reid.dataset import Dataset
from reid.embeddings import EmbeddingStore, StoreWriter
from reid.modality import Modality
from reid.sample import Sample

DIM = 32


def knowing(samples: Sequence[Sample], seed: int = 0) -> NDArray[np.float32]:
    """Embeddings [n, DIM] that tell people apart, and modalities, in a few directions, with noise in all."""
    generator = np.random.default_rng(seed)
    people = {s.person_id: None for s in samples}
    directions = generator.normal(size=(6, DIM))
    of_person = {person: generator.normal(size=6) @ directions for person in people}
    of_modality = {modality: 2 * generator.normal(size=DIM) for modality in Modality}
    rows = [of_person[s.person_id] + of_modality[s.modality] + 0.3 * generator.normal(size=DIM) for s in samples]
    return np.array(rows, dtype=np.float32)


def write_store(dataset: Dataset, out: Path, samples: Sequence[Sample] | None = None) -> EmbeddingStore:
    """A store of what `knowing` says of samples (all, if none are given), in several shards."""
    chosen = list(dataset.samples if samples is None else samples)
    writer = StoreWriter(
        out,
        chosen,
        DIM,
        fingerprint={"model": "knowing", "data": dataset.fingerprint()},
        writer={"command": "test"},
        protocols=dataset.protocols,
        dataset=str(dataset.root),
        shard_rows=50,
    )
    embeddings = knowing(chosen)
    with writer as plan:
        for shard in plan.pending():
            plan.write(shard, embeddings[shard * 50 : (shard + 1) * 50])
    return EmbeddingStore.open(out)
