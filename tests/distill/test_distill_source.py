"""What `--teacher` may be: a checkpoint whose store is made once, and sees views; or a store that leads back to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_models import BUILDERS, LEVELS, SMALL, tokenizer
from small_teachers import levels, trained, write

from distill.data.targets import Targets
from distill.data.views import view_id, view_numbers
from distill.distiller import distil_to
from distill.settings import DistillRecipe
from distill.source import default_store, open_source, with_views
from reid.dataset import Dataset
from reid.embeddings import EmbeddingStore
from reid.errors import UserError
from reid.modality import Modality
from reid.sample import Split
from student.checkpoint import load_text_student
from teacher.backbone import load_backbone
from teacher.checkpoint import load_teacher
from teacher.data.augmentation import augment_images
from teacher.data.images import ImageReader
from teacher.recipe import load_recipe
from teacher.settings import Image

Recipes = Callable[..., DistillRecipe]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint of the real architecture."""
    import yaml

    folder = tmp_path_factory.mktemp("teacher")
    torch.manual_seed(0)
    BUILDERS["qwen2_vl"]().save_pretrained(folder / "base")
    tokenizer().save_pretrained(folder / "base")
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump({"extends": "mllmembed", "name": "small", **SMALL, "tuning": {"levels": LEVELS}}))
    backbone = load_backbone(str(folder / "base"), Image(height=56, width=28))
    return write(folder / "checkpoint", backbone, load_recipe(str(path)), trained(backbone, levels()))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder: stores go to ./runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_checkpoints_store_is_made_once_and_used_again(teacher: Path, people: Dataset, here: Path) -> None:
    said: list[str] = []
    first = open_source(teacher, people, "people", device="cpu", say=said.append)
    place = default_store(teacher, people)
    assert f"making the teacher's store, {place}" in said
    assert first.store.path == place
    assert len(first.store) == len(people.samples)
    before = (place / "manifest.json").stat().st_mtime_ns
    said.clear()
    again = open_source(teacher, people, "people", device="cpu", say=said.append)
    assert said == [f"taking the teacher's store, {place}"]
    assert again.store.manifest.sha256 == first.store.manifest.sha256
    assert (place / "manifest.json").stat().st_mtime_ns == before


def test_a_store_leads_back_to_its_teacher(teacher: Path, people: Dataset, here: Path) -> None:
    made = open_source(teacher, people, "people", device="cpu", say=lambda line: None)
    found = open_source(made.store.path, people, "people", device="cpu", say=lambda line: None)
    assert found.checkpoint is not None
    assert found.checkpoint.resolve() == teacher.resolve()
    assert found.tokenizer is not None
    assert len(found.tokenizer()) == len(tokenizer())


def test_a_checkpoint_without_data_is_refused(teacher: Path, here: Path) -> None:
    with pytest.raises(UserError, match="--data"):
        open_source(teacher, device="cpu")


def test_something_else_is_refused(people: Dataset, here: Path) -> None:
    with pytest.raises(UserError, match="kind 'dataset'; expected a teacher checkpoint or its store"):
        open_source(people.root, people, device="cpu")


def test_the_teacher_has_seen_the_very_view_that_the_student_is_shown(
    teacher: Path, people: Dataset, here: Path, recipe: Recipes
) -> None:
    """An image that is augmented by hand and embedded by the teacher gives the target of that view."""
    how = recipe("views=2", "augmentation.erase=1", "augmentation.flip=0.5", "training.seed=7")
    source = with_views(
        open_source(teacher, people, "people", device="cpu", say=lambda line: None), how, device="cpu",
        say=lambda line: None,
    )  # fmt: skip
    assert len(source.views) == 2
    samples = [s for s in people.select(Split.TRAIN) if s.modality is Modality.RGB][:3]
    targets = Targets(source.store, samples, source.views)
    loaded = load_teacher(teacher, merge=True)
    preprocessing = loaded.encoder.backbone.preprocessing
    reader = ImageReader(preprocessing)
    from teacher.batch import make_batch

    for view in (0, 1):
        numbers = view_numbers(7, view, [s.sample_id for s in samples])
        pixels = torch.from_numpy(reader.stack([s.image for s in samples if s.image]))
        shown = augment_images(pixels, [Modality.RGB] * 3, numbers, how.augmentation)
        scale, shift = (torch.from_numpy(v)[:, None, None] for v in preprocessing.scale_and_shift())
        batch = make_batch(loaded.encoder.book, [Modality.RGB] * 3, [None] * 3, shown * scale + shift)
        with torch.no_grad():
            expected = torch.nn.functional.normalize(loaded.encoder(batch), dim=1).numpy()
        found = targets.embeddings([0, 1, 2], [view] * 3)
        np.testing.assert_allclose(found, expected, atol=2e-3)
    clean = targets.embeddings([0, 1, 2])
    assert np.abs(clean - found).max() > 0.01


def test_views_of_a_sample_do_not_depend_on_the_others(people: Dataset) -> None:
    names = [s.sample_id for s in people.samples[:4]]
    together = view_numbers(3, 1, names)
    np.testing.assert_array_equal(together[2:3], view_numbers(3, 1, names[2:3]))
    assert not np.array_equal(together, view_numbers(3, 0, names))
    assert not np.array_equal(together, view_numbers(4, 1, names))
    assert view_id(people.samples[0], 0) != view_id(people.samples[0], 1)


def test_a_run_with_views_and_a_text_student_from_a_checkpoint(
    teacher: Path, people: Dataset, here: Path, recipe: Recipes, reid: Any
) -> None:
    said: list[str] = []
    how = recipe(
        "views=1",
        "augmentation.flip=0.5",
        "text.train=true",
        "text.layers=1",
        "text.width=16",
        "text.heads=2",
        "training.epochs=[6]",
    )
    distil_to(here / "student", teacher, "vit-micro", how, dataset=people, spec="people", device="cpu", say=said.append)
    text = load_text_student(here / "student")
    assert text is not None
    assert text.config.dim == 8
    assert any("sentences by the text student" in line for line in said)
    # Once more: store and views are there already.
    said.clear()
    distil_to(here / "again", teacher, "vit-micro", how, dataset=people, spec="people", device="cpu", say=said.append)
    assert not any(line.startswith("making") for line in said)
    for name in ("model.safetensors", "text/model.safetensors"):
        assert (here / "student" / name).read_bytes() == (here / "again" / name).read_bytes()


def test_sentences_have_no_views(store: EmbeddingStore, people: Dataset) -> None:
    samples = [s for s in people.samples if s.modality is Modality.TEXT][:2]
    targets = Targets(store, samples)
    rows = store.rows_of([s.sample_id for s in samples])
    expected = store.embeddings(rows)
    np.testing.assert_allclose(
        targets.embeddings([1, 0]), (expected / np.linalg.norm(expected, axis=1, keepdims=True))[::-1], rtol=1e-6
    )
    with pytest.raises(UserError, match="has no sample 'nobody'"):
        Targets(store, [replace(samples[0], sample_id="nobody")])
