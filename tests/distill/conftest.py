"""A few synthetic people, a store that knows who they are, and a small recipe."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
import torch
from knowing_stores import write_store

from distill.recipe import load_recipe
from distill.settings import DistillRecipe
from distill.training.run import Source
from reid.dataset import Dataset
from reid.datasets import open_dataset
from reid.embeddings import EmbeddingStore
from reid.synthetic.world import World
from reid.synthetic.write import write_world

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
