"""Small galleries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.gallery import Gallery, Row
from reid.modality import Modality

DIM = 8
JPEG = b"\xff\xd8\xff\xe0 not much of a picture \xff\xd9"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "gallery.db"


@pytest.fixture
def opened(place: Path) -> Callable[..., Gallery]:
    def call(**options: Any) -> Gallery:
        return Gallery.open(place, space_id="space", dim=DIM, **options)

    return call


@pytest.fixture
def some_rows() -> Callable[..., list[Row]]:
    """n rows of 3 people and an unknown one, 3 cameras and one that nobody knows, 4 modalities; time is the place."""

    def call(n: int, seed: int = 0, dim: int = DIM, crops: bool = False) -> list[Row]:
        vectors = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return [
            Row(
                vector,
                (None, "ann", "bob", "cy")[i % 4],
                (None, "c0", "c1", "c2")[i // 2 % 4],
                tuple(Modality)[i % 3],
                float(i),
                JPEG + bytes([i % 256]) if crops else None,
                {"place": i},
            )
            for i, vector in enumerate(vectors)
        ]

    return call
