"""Pooling against its words: plain means, and adaptive average pooling for the stripes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from student.pooling import STRIPES, VECTORS, pool, stripes


@given(rows=st.integers(1, 40), columns=st.integers(1, 5))
def test_stripes_are_those_of_adaptive_pooling(rows: int, columns: int) -> None:
    grid = torch.randn(2, rows, columns, 3, generator=torch.Generator().manual_seed(rows))
    expected = functional.adaptive_avg_pool2d(grid.permute(0, 3, 1, 2), (STRIPES, 1))[..., 0].transpose(1, 2)
    torch.testing.assert_close(pool("parts", None, grid), expected)


@given(rows=st.integers(1, 100))
def test_stripes_cover_every_row_from_head_to_feet(rows: int) -> None:
    found = stripes(rows)
    assert {row for top, bottom in found for row in range(top, bottom)} == set(range(rows))
    assert found == sorted(found)
    assert all(bottom > top for top, bottom in found)


@pytest.mark.parametrize("pooling", VECTORS)
def test_a_pooling_is_the_mean_of_what_it_names(pooling: str) -> None:
    first, grid = torch.randn(3, 5), torch.randn(3, 16, 8, 5)
    mean = grid.reshape(3, -1, 5).mean(1)
    parts = [grid[:, 2 * i : 2 * i + 2].reshape(3, -1, 5).mean(1) for i in range(STRIPES)]
    expected = {"cls": [first], "mean": [mean], "cls_mean": [first, mean], "parts": parts}[pooling]
    found = pool(pooling, first, grid)
    assert found.shape == (3, VECTORS[pooling], 5)
    torch.testing.assert_close(found, torch.stack(expected, 1))
