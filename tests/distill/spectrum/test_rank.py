"""The rules of the rank, against brute force and curves drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.spectrum.ceiling import Bounds, geometric, search
from distill.spectrum.rank import by_ceiling, by_energy, effective_rank, energy, round_up

spectra = st.lists(st.floats(0, 1e3), min_size=1, max_size=30).filter(lambda v: sum(v) > 1e-3)


@given(spectra, st.floats(0.01, 1))
def test_energy_is_the_smallest_k_that_holds_the_share(values: list[float], share: float) -> None:
    spectrum = np.sort(values)[::-1]
    k = by_energy(spectrum, share)
    held = [sum(spectrum[:j]) / sum(spectrum) for j in range(len(spectrum) + 1)]
    assert held[k] >= share - 1e-9
    assert all(h < share for h in held[: k - 1])
    assert energy(spectrum)[k - 1] == pytest.approx(held[k])


def test_all_of_the_energy_does_not_ask_for_empty_directions() -> None:
    assert by_energy(np.array([2.0, 1.0, 0.0, 0.0]), 1.0) == 2
    assert by_energy(np.array([2.0, 1.0, 0.0, -1e-18]), 1.0) == 2


def test_effective_rank_counts_equal_directions() -> None:
    assert effective_rank(np.array([3.0, 3.0, 3.0, 0.0])) == pytest.approx(3)
    assert effective_rank(np.array([5.0, 0, 0])) == pytest.approx(1)
    assert effective_rank(np.array([2.0, 1.0, 1.0])) == pytest.approx(2**1.5)


@given(st.integers(1, 400), st.integers(1, 16), st.integers(1, 64), st.integers(1, 400))
def test_rounding_up_stays_in_bounds(k: int, multiple: int, low: int, high: int) -> None:
    low = min(low, high)
    rank = round_up(k, multiple, low, high)
    allowed = [j for j in range(1, high + 1) if j == high or (j >= low and j % multiple == 0)]
    assert rank == next((j for j in allowed if j >= k), high)


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ({8: 30.0, 16: 39.95, 32: 40.1, 64: 40.0}, 16),
        ({8: 30.0, 16: 39.89, 32: 39.91, 64: 40.0}, 32),
        ({8: 40.2, 16: 39.0, 32: 40.1, 64: 40.0}, 32),  # dips again after 8
        ({8: 40.2, 16: 40.2, 32: 40.2, 64: 39.0}, None),  # dips at the end
        ({8: 45.0, 16: 44.0}, 8),  # the projection is better than the teacher
        ({16: 39.9}, 16),  # exactly the tolerance
        ({}, None),
    ],
)
def test_the_ceiling_must_hold_from_there_on(curve: dict[int, float], expected: int | None) -> None:
    assert by_ceiling(curve, 40.0, 0.1) == expected


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 300), st.integers(1, 320))
def test_search_finds_where_a_rising_curve_passes(low: int, multiple: int, high: int, knee: int) -> None:
    low = min(low, high)
    asked = []

    def score(k: int) -> float:
        asked.append(k)
        return 50.0 if k >= knee else 50.0 * k / knee - 1

    bounds = Bounds(low, high, multiple)
    allowed = bounds.candidates()
    assert search(score, 50.0, bounds, 0.1) == next((k for k in allowed if k >= knee), None)
    assert set(asked) <= set(allowed)
    assert len(asked) == len(set(asked))


@given(st.dictionaries(st.integers(1, 12), st.floats(49, 51), min_size=12, max_size=12))
def test_what_search_finds_holds_for_all_that_it_tested(bumps: dict[int, float]) -> None:
    """Whatever the curve, also one that dips again and again."""
    asked: dict[int, float] = {}

    def score(k: int) -> float:
        asked[k] = bumps[k // 8]
        return asked[k]

    found = search(score, 50.0, Bounds(8, 96, 8), 0.1)
    if found is None:
        assert asked[96] < 49.9
    else:
        assert all(value >= 49.9 - 1e-9 for k, value in asked.items() if k >= found)
        below = found - 8
        assert below == 0 or asked[below] < 49.9


def test_candidates_are_multiples_and_the_upper_bound() -> None:
    assert Bounds(8, 24, 8).candidates() == [8, 16, 24]
    assert Bounds(1, 20, 8).candidates() == [8, 16, 20]
    assert Bounds(3, 5, 8).candidates() == [5]
    assert geometric(20) == [2, 3, 4, 6, 8, 12, 16]
    assert geometric(1) == [1]
