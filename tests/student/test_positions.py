"""Resized positions against transformers' own rule, and what any resizing must keep."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import ViTConfig, ViTModel

from student.positions import resize_positions

SIDES = st.integers(2, 12)


@given(side=SIDES, rows=SIDES, columns=SIDES, special=st.integers(0, 3))
def test_special_tokens_stay_and_a_constant_stays_constant(side: int, rows: int, columns: int, special: int) -> None:
    positions = torch.full((1, special + side * side, 4), 0.7)
    positions[:, :special] = torch.randn(special, 4)
    resized = resize_positions(positions, (side, side), (rows, columns))
    assert resized.shape == (1, special + rows * columns, 4)
    assert torch.equal(resized[:, :special], positions[:, :special])
    torch.testing.assert_close(resized[:, special:], torch.full((1, rows * columns, 4), 0.7))


@given(old=SIDES, rows=SIDES, columns=SIDES)
def test_columns_and_rows_are_not_exchanged(old: int, rows: int, columns: int) -> None:
    """What varies from row to row alone still does so afterwards."""
    by_row = torch.linspace(-1, 1, old)[:, None].expand(old, old + 1).reshape(1, -1, 1)
    grid = resize_positions(by_row, (old, old + 1), (rows, columns)).reshape(rows, columns)
    torch.testing.assert_close(grid, grid[:, :1].expand(rows, columns))
    assert bool((grid[1:, 0] > grid[:-1, 0]).all())


def test_it_is_what_transformers_does_in_every_pass() -> None:
    config = ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, image_size=80)
    embeddings = ViTModel(config).embeddings
    with torch.no_grad():
        embeddings.position_embeddings.normal_()
        theirs = embeddings.interpolate_pos_encoding(torch.zeros(1, 1 + 12 * 4, 8), 192, 64)
        ours = resize_positions(embeddings.position_embeddings, (5, 5), (12, 4))
    assert torch.equal(ours, theirs)


def test_the_same_grid_is_the_same_tensor() -> None:
    positions = torch.randn(1, 7, 4)
    assert resize_positions(positions, (3, 2), (3, 2)) is positions
