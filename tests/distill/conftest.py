"""A few synthetic people, a store that knows who they are, and a small recipe."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from distill.recipe import load_recipe
from distill.settings import DistillRecipe
from distill.training.run import Source
from reid.dataset import Dataset
from reid.datasets import open_dataset
from reid.embeddings import EmbeddingStore, StoreWriter
from reid.modality import Modality
from reid.sample import Sample
from reid.synthetic.world import World
from reid.synthetic.write import write_world

DIM = 32
SMALL = (
    "name=small",
    "image.height=64",
    "image.width=32",
    "spectrum.rank=8",
    "spectrum.min_rank=4",
    "spectrum.multiple=4",
    "sampling.people=4",
    "sampling.per_person=4",
    "training.epochs=[2]",
    "training.log_every=1",
    "training.evaluate_every=3",
)

# Of models this small a second thread makes nothing faster, and children are to compute as their parents do.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"


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


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Twenty synthetic people in four modalities: 12 to train on, 2 to validate on, 6 to test on."""
    folder = tmp_path_factory.mktemp("data") / "people"
    world = World(seed=5, people=20, cameras=2, per_camera=1, sketches=1, captions=1, size=(64, 32), lookalikes=0)
    write_world(world, folder, progress=False)
    return open_dataset(str(folder))


@pytest.fixture(scope="session")
def store(people: Dataset, tmp_path_factory: pytest.TempPathFactory) -> EmbeddingStore:
    """What a perfect teacher would know of them."""
    return write_store(people, tmp_path_factory.mktemp("stores") / "store")


@pytest.fixture(scope="session")
def source(people: Dataset, store: EmbeddingStore) -> Source:
    """Both."""
    return Source(store, people, str(people.root))


@pytest.fixture(scope="session")
def recipe() -> Callable[..., DistillRecipe]:
    """recipe("training.seed=1", ...) is adaptive-svd in small, with changes."""
    return lambda *changes: load_recipe("adaptive-svd", [*SMALL, *changes])
