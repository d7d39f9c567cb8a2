"""The tiled neighbour search against a stable sort of the whole similarity matrix."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from reid.rerank.neighbours import _keys, _similarity, nearest
from reid.similarity import normalise


def grid_rows(rng: np.random.Generator, n: int, prototypes: int) -> NDArray[np.float32]:
    """Rows of quarters: products are exact, many are equal, some are zero or negative."""
    return (rng.integers(-2, 3, (prototypes, 8)) / 4).astype(np.float32)[rng.integers(0, prototypes, n)]


def assert_nearest(features: NDArray[np.float32], k: int, tile: int) -> None:
    found = nearest(features, k, tile=tile)
    similarity = features @ features.T
    expected = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(found.index, expected)
    np.testing.assert_array_equal(found.similarity, np.take_along_axis(similarity, expected, axis=1))
    np.testing.assert_array_equal(found.least, similarity.min(axis=1))


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 120), prototypes=st.integers(1, 200), tile=st.integers(9, 130))
def test_equals_a_stable_sort_with_ties(seed: int, n: int, prototypes: int, tile: int) -> None:
    rng = np.random.default_rng(seed)
    assert_nearest(grid_rows(rng, n, prototypes), int(rng.integers(1, n + 1)), tile)


@pytest.mark.parametrize("tile", [64, 100, 1000])
@pytest.mark.parametrize("k", [1, 3, 21])
def test_equals_a_stable_sort_where_tiles_hold_many_times_k(k: int, tile: int) -> None:
    """Groups of columns bound the search only where a tile is much wider than k."""
    assert_nearest(grid_rows(np.random.default_rng(k), 700, 400), k, tile)


@pytest.mark.parametrize("order", [1, -1])
def test_every_next_column_better_than_all_before(order: int) -> None:
    angles = np.linspace(0, 1.5, 500)[::order]
    features = normalise(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    found = nearest(features, 5, tile=60)
    first = [0, 1, 2, 3, 4]
    assert found.index[0].tolist() == first
    assert found.index[-1].tolist() == [499 - i for i in first]


def test_people_side_by_side_in_the_file() -> None:
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(40), 25)
    features = normalise(rng.standard_normal((40, 64))[people] + 0.3 * rng.standard_normal((1000, 64)))
    found = nearest(features, 25, tile=256)
    assert (people[found.index] == people[:, None]).all()
    assert (found.index[:, 0] == np.arange(1000)).all()


def test_keys_order_by_similarity_then_by_lower_column_whatever_the_sign() -> None:
    similarity = np.array([-1, -0.5, -0.5, -1e-30, 0.0, -0.0, 0.0, 1e-30, 0.25, 0.25, 1], dtype=np.float32)
    column = np.array([0, 9, 2, 3, 8, 5, 4, 7, 6, 1, 10])
    keys = _keys(similarity, column)
    assert (np.diff(keys) > 0).all()
    np.testing.assert_array_equal(_similarity(keys), similarity)
