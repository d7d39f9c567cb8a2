"""Rows to ship: of five people with difficult names and an unknown one, three cameras and none."""

from __future__ import annotations

import numpy as np

from edge_runtime.gallery import Row
from reid.modality import Modality

DIM = 8
NAMES = (None, "ann", 'o\'neil "x" \\ y', "Zoë 日本 😀", "a\nb\r\tc\x01", "%like_ {x}")
CAMERAS = (None, "c0", "c1", 'c"2')


def some_rows(n: int, seed: int = 0) -> list[Row]:
    """n rows, some of everything."""
    vectors = np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    modalities = (Modality.RGB, Modality.IR, Modality.SKETCH)
    return [
        Row(v, NAMES[i % 6], CAMERAS[i // 2 % 4], modalities[i % 3], 1.7e9 + i / 4, None, {"place": i, "note": "ü"})
        for i, v in enumerate(vectors)
    ]
