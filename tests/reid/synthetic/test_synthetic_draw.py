"""Random numbers that must be the same everywhere."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from reid.synthetic.angles import azimuth_columns, cos, sin
from reid.synthetic.draw import Draw, grain, random_bytes, smooth_noise


def test_a_stream_is_shake_of_its_key_and_nothing_else() -> None:
    draw = Draw("shot", 3, 14)
    raw = hashlib.shake_128(b"('shot', 3, 14, 0)").digest(168)
    # Words are little-endian and taken from the end; the second block hashes the block's number 1.
    expected = [int.from_bytes(raw[i : i + 4], "little") for i in range(164, -4, -4)]
    assert [draw.word() for _ in range(42)] == expected
    raw = hashlib.shake_128(b"('shot', 3, 14, 1)").digest(168)
    assert draw.word() == int.from_bytes(raw[164:], "little")


def test_streams_of_different_keys_differ() -> None:
    keys = [("a", 1), ("a", 2), ("b", 1), ("a", 1, 0), ("a", 11)]
    assert len({Draw(*key).word() for key in keys}) == len(keys)


def test_numbers_cover_their_range_evenly() -> None:
    draw = Draw("even")
    counts = np.bincount([draw.below(8) for _ in range(8000)], minlength=8)
    assert counts.min() > 850
    assert counts.max() < 1150
    values = [draw.between(-3, 5) for _ in range(4000)]
    assert min(values) >= -3
    assert max(values) < 5
    assert abs(float(np.mean(values)) - 1) < 0.15
    bells = [draw.bell(2.0) for _ in range(4000)]
    assert abs(float(np.mean(bells))) < 0.1
    assert max(map(abs, bells)) < 4
    hits = sum(draw.chance(0.3) for _ in range(4000))
    assert 1080 < hits < 1320


def test_weights_are_probabilities_and_order_is_a_permutation() -> None:
    draw = Draw("weights")
    picked = [draw.weighted((("x", 1), ("y", 3))) for _ in range(4000)]
    assert 900 < picked.count("x") < 1100
    orders = {tuple(draw.order("abc")) for _ in range(200)}
    assert len(orders) == 6
    assert all(sorted(order) == ["a", "b", "c"] for order in orders)


@pytest.mark.parametrize("cell", [1, 2, 4, 8, 16, 32, 64])
def test_smooth_noise_closes_round_and_stays_in_range(cell: int) -> None:
    noise = smooth_noise(cell)
    assert np.abs(noise).max() <= 1
    assert noise.std() > 0.2
    inside = np.abs(np.diff(noise, axis=1)).max()
    # Going round the edge is no rougher than any other step.
    assert np.abs(noise[:, 0] - noise[:, -1]).max() <= inside + 1e-6
    assert np.abs(noise[0] - noise[-1]).max() <= np.abs(np.diff(noise, axis=0)).max() + 1e-6


def test_grain_has_mean_zero_and_spread_one() -> None:
    assert abs(float(grain().mean())) < 0.01
    assert abs(float(grain().std()) - 1) < 0.02
    assert random_bytes((4, 5), "k").shape == (4, 5)


def test_angles() -> None:
    assert sin(30) == pytest.approx(0.5, abs=1e-6)
    assert cos(-60) == pytest.approx(0.5, abs=1e-6)
    assert sin(725.04) == pytest.approx(np.sin(np.radians(5.0)), abs=1e-6)
    columns = azimuth_columns(64)
    # Half-way to the right edge of a round body is 30 degrees of its circumference.
    assert columns[255] == 0
    assert columns[255 + 128] == round(30 / 360 * 64)
    assert columns[-1] == 16
    assert columns[0] == -16
