"""How the modalities lie in the space, against a literal loop over all pairs of samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from reid.errors import UserError
from reid.modality import Modality
from reid.sample import Split
from reid.table import SampleTable
from teacher.evaluation.space import Gap, gaps

Row = tuple[str, Modality]


def table_of(rows: list[Row]) -> SampleTable:
    people, modalities = [person for person, _ in rows], [modality for _, modality in rows]
    n = len(rows)
    return SampleTable([f"s{i}" for i in range(n)], people, modalities, [Split.TEST] * n, [None] * n, [None] * n)


def literal_gaps(rows: list[Row], embeddings: NDArray[np.float32]) -> list[tuple[Modality, Modality, list[float]]]:
    """Centre distance and the mean cosines of same and different people, one pair of samples at a time."""
    unit = [row / math.sqrt(float(row @ row)) for row in embeddings.astype(np.float64)]
    order = [m for m in Modality if any(modality is m for _, modality in rows)]
    found = []
    for i, one in enumerate(order):
        for other in order[i + 1 :]:
            same, different = [], []
            for a, (person, modality) in enumerate(rows):
                for b, (another, its) in enumerate(rows):
                    if modality is one and its is other:
                        (same if person == another else different).append(float(unit[a] @ unit[b]))
            centres = [
                sum(u for u, (_, modality) in zip(unit, rows, strict=True) if modality is m)
                / sum(modality is m for _, modality in rows)
                for m in (one, other)
            ]
            means = [sum(values) / len(values) if values else math.nan for values in (same, different)]
            found.append((one, other, [float(np.linalg.norm(centres[0] - centres[1])), *means]))
    return found


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(list(Modality))), min_size=1, max_size=14),
    seed=st.integers(0, 2**32 - 1),
)
def test_gaps_equal_a_literal_double_loop(rows: list[Row], seed: int) -> None:
    """Also where a modality is missing, and where no pair shows one person, or no pair two; then there is no mean."""
    rng = np.random.default_rng(seed)
    embeddings = (rng.standard_normal((len(rows), 5)) * rng.uniform(0.1, 10, (len(rows), 1)) + 0.2).astype(np.float32)
    found, expected = gaps(table_of(rows), embeddings), literal_gaps(rows, embeddings)
    assert [(gap.one, gap.other) for gap in found] == [(one, other) for one, other, _ in expected]
    for gap, (_, _, numbers) in zip(found, expected, strict=True):
        np.testing.assert_allclose([gap.centres, gap.same, gap.different], numbers, atol=1e-5)


def test_two_people_on_two_axes() -> None:
    rows = [("a", Modality.RGB), ("b", Modality.RGB), ("a", Modality.TEXT), ("b", Modality.TEXT)]
    (gap,) = gaps(table_of(rows), np.array([[2, 0, 0], [0, 3, 0], [5, 0, 0], [0, 1, 0]], dtype=np.float32))
    assert (gap.centres, gap.same, gap.different) == pytest.approx((0, 1, 0), abs=1e-6)


def test_opposite_clouds_are_2_apart() -> None:
    rows = [("a", Modality.RGB), ("b", Modality.SKETCH)]
    (gap,) = gaps(table_of(rows), np.array([[3, 0], [-1, 0]], dtype=np.float32))
    assert (gap.centres, gap.different) == pytest.approx((2, -1), abs=1e-6)
    assert math.isnan(gap.same)


def test_one_modality_has_no_gap() -> None:
    rows = [("a", Modality.IR), ("b", Modality.IR)]
    assert gaps(table_of(rows), np.eye(2, dtype=np.float32)) == []


def test_an_embedding_without_direction_is_refused_by_name() -> None:
    rows = [("a", Modality.IR), ("b", Modality.RGB)]
    with pytest.raises(UserError, match="s1"):
        gaps(table_of(rows), np.array([[1, 0], [0, 0]], dtype=np.float32))


def test_a_row_of_the_table_names_the_modalities_and_rounds() -> None:
    assert list(Gap(Modality.RGB, Modality.IR, 0.12345, 0.98765, -0.5).row().values()) == [
        "rgb - ir",
        "0.123",
        "0.988",
        "-0.500",
    ]
