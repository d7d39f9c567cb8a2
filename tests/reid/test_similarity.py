"""Normalisation and streamed cosine scores."""

from __future__ import annotations

import numpy as np
import pytest

from reid.errors import UserError
from reid.similarity import CosineScores, normalise, refuse_unusable


def test_rows_have_length_one_and_keep_their_direction() -> None:
    rows = np.random.default_rng(0).standard_normal((20, 7))
    unit = normalise(rows)
    assert unit.dtype == np.float32
    np.testing.assert_allclose(unit, rows / np.linalg.norm(rows, axis=1, keepdims=True), atol=1e-6)


@pytest.mark.parametrize("scale", [1e30, 1e-30, 1e-38])
def test_lengths_beyond_the_square_of_float32_are_still_normalised(scale: float) -> None:
    unit = normalise(np.array([[3, 4]]) * scale)
    np.testing.assert_allclose(unit, [[0.6, 0.8]], rtol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0])
@pytest.mark.parametrize("check", [normalise, refuse_unusable])
def test_unusable_rows_are_refused_by_name(check, value: float) -> None:
    rows = np.ones((4, 3), dtype=np.float32)
    rows[2] = [value, 0, 0]
    with pytest.raises(UserError, match=r"1 of 4 embeddings .* c;"):
        check(rows, ["a", "b", "c", "d"])


def test_in_place_only_if_asked() -> None:
    rows = np.full((2, 2), 5, dtype=np.float32)
    normalise(rows)
    assert rows[0, 0] == 5
    assert normalise(rows, copy=False) is rows


@pytest.mark.parametrize("block_bytes", [1, 100, 10**6])
def test_blocks_cover_the_product_in_order(block_bytes: int) -> None:
    rng = np.random.default_rng(0)
    query, gallery = normalise(rng.standard_normal((13, 5))), normalise(rng.standard_normal((11, 5)))
    scores = CosineScores(query, gallery, block_bytes)
    parts = [(start, block.copy()) for start, block in scores.blocks()]
    assert [start for start, _ in parts] == list(np.cumsum([0, *(len(b) for _, b in parts)])[:-1])
    np.testing.assert_allclose(np.concatenate([b for _, b in parts]), query @ gallery.T, atol=1e-6)


def test_two_spaces_are_refused() -> None:
    with pytest.raises(UserError, match="4 dimensions, the gallery 5"):
        CosineScores(np.ones((1, 4), np.float32), np.ones((1, 5), np.float32))
