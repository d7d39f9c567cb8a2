"""Small checkpoints on disk, and a few synthetic people."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from small_models import BUILDERS, LEVELS, SIZE, SMALL, tokenizer
from small_teachers import levels, trained, write

from reid.dataset import Dataset
from reid.datasets import open_dataset
from reid.synthetic.world import World
from reid.synthetic.write import write_world
from teacher.backbone import Backbone, load_backbone
from teacher.recipe import dump_recipe, load_recipe
from teacher.settings import Image, Recipe

NOTES = ("note: ", "warning: ", "running on ", "taking ")
"""How lines on standard error begin that are no errors."""

# Of models this small a second thread makes nothing faster, and children are to compute as their parents do.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session")
def base_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """base_of("qwen2_vl") is a folder with a small random checkpoint of that family; seeds give others."""
    root = tmp_path_factory.mktemp("bases")

    def make(family: str = "qwen2_vl", seed: int = 0) -> Path:
        folder = root / f"{family}-{seed}"
        if not folder.exists():
            torch.manual_seed(seed)
            model = BUILDERS[family]()
            # As drawn, attention is nearly flat; larger weights make every part matter to the result.
            with torch.no_grad():
                for weight in model.parameters():
                    if weight.ndim > 1:
                        weight.mul_(5)
            model.save_pretrained(folder)
            tokenizer().save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def loaded(base_of: Callable[..., Path]) -> Callable[..., Backbone]:
    """loaded("qwen2_vl") is a freshly loaded small base of that family."""

    def load(family: str = "qwen2_vl", size: Image = SIZE) -> Backbone:
        return load_backbone(str(base_of(family)), size)

    return load


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Twenty synthetic people in four modalities: 12 to train on, 2 to validate on, 6 to test on."""
    folder = tmp_path_factory.mktemp("data") / "people"
    world = World(seed=5, people=20, cameras=2, per_camera=1, sketches=1, captions=1, size=(32, 16), lookalikes=0)
    write_world(world, folder, progress=False)
    return open_dataset(str(folder))


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Recipe]:
    """recipe("training.seed=1", ...) is mllmembed in small, with changes."""
    path = tmp_path_factory.mktemp("recipe") / "small.yaml"
    path.write_text(yaml.safe_dump({"extends": "mllmembed", "name": "small", **SMALL, "tuning": {"levels": LEVELS}}))
    return lambda *changes: load_recipe(str(path), changes)


@pytest.fixture(scope="session")
def teacher_of(
    loaded: Callable[..., Backbone], recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """teacher_of(seed=1) is a checkpoint of the small Qwen2-VL with LoRA on all parts; seeds give others."""
    root = tmp_path_factory.mktemp("teachers")

    def make(seed: int = 1) -> Path:
        folder = root / f"teacher-{seed}"
        if not folder.exists():
            backbone = loaded()
            write(folder, backbone, recipe(), trained(backbone, levels(), seed))
        return folder

    return make


@pytest.fixture
def how(recipe: Callable[..., Recipe], tmp_path: Path) -> Path:
    """The small recipe, for one step."""
    path = tmp_path / "how.yaml"
    path.write_text(dump_recipe(recipe("training.max_steps=1")))
    return path


@pytest.fixture
def refused(tmp_path: Path, reid: Any) -> Callable[..., str]:
    """refused("train", ...) is the one line that is said; everything in tmp_path is as it was."""

    def files() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    def call(*words: object) -> str:
        before = files()
        done = reid("teacher", *words)
        assert done.code == 2, done.err
        (line,) = [line for line in done.err.splitlines() if not line.startswith(NOTES)]
        assert line.startswith("error: ")
        assert files() == before
        return str(line.removeprefix("error: "))

    return call
