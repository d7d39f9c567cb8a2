"""The Python API is the command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distill import Distiller
from distill.embedder import StudentEmbedder
from distill.settings import DistillRecipe
from reid.artifact import read_manifest
from reid.dataset import Dataset
from reid.embeddings import EmbeddingStore
from reid.modality import Modality
from student.checkpoint import load_student

QUIET: Any = lambda line: None  # noqa: E731


def test_fit_writes_what_the_command_writes_and_embeds_with_it(
    store: EmbeddingStore, people: Dataset, recipe: Callable[..., DistillRecipe], tmp_path: Path
) -> None:
    made = Distiller(store.path, "vit-micro", recipe=recipe(), out=tmp_path / "student", device="cpu")
    made.fit(people, say=QUIET)
    assert read_manifest(made.path).kind == "student"
    images = [sample for sample in people.samples if sample.modality.is_image][:5]
    expected = StudentEmbedder(load_student(made.path)).embed(images)
    np.testing.assert_allclose(made.embed(images), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="no text student"):
        made.embed([sample for sample in people.samples if sample.modality is Modality.TEXT][:1])


def test_changes_are_those_of_set() -> None:
    made = Distiller("teacher", "vit-ti", training__epochs=[3], spectrum__rank=16)
    assert made.recipe.training.epochs == (3,)
    assert made.recipe.spectrum.rank == 16
    assert made.path == Path("runs/student/vit-ti-adaptive-svd")
    with pytest.raises(ValueError, match="call fit first"):
        made.embed([])
