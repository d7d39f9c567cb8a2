"""A few synthetic people and a small student to export. Torch keeps to one core: tests run in two processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from small_export import small_source

from reid.dataset import Dataset
from reid.datasets import open_dataset
from reid.synthetic.world import World
from reid.synthetic.write import write_world

torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Twenty synthetic people in four modalities: 12 to train on, 2 to validate on, 6 to test on."""
    folder = tmp_path_factory.mktemp("data") / "people"
    world = World(seed=5, people=20, cameras=2, per_camera=1, sketches=1, captions=1, size=(128, 64), lookalikes=0)
    write_world(world, folder, progress=False)
    return open_dataset(str(folder))


@pytest.fixture(scope="session")
def student_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student artifact that was not distilled on anything that is still there."""
    return small_source(tmp_path_factory.mktemp("student") / "vit-micro").folder
