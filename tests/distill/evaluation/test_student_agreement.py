"""Agreement of student and teacher: against loops, sets and SciPy on all pairs, and where there is too little."""

from __future__ import annotations

import json
from itertools import combinations
from math import isnan

import numpy as np
import pytest
from drawn_coordinates import drawn
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from distill.evaluation.agreement import agreement, agreements, rank_of, spearman, table, top_overlap
from reid.modality import Modality


def pair(seed: int, n: int = 30, k: int = 5, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """A teacher's coordinates [n, k], and a student's that are like them."""
    generator = np.random.default_rng(seed)
    z = generator.normal(size=(n, k)) * np.linspace(2, 0.5, k)
    return (z + noise * generator.normal(size=z.shape)).astype(np.float32), z.astype(np.float32)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def nearest(rows: np.ndarray, asked: int, count: int) -> set[int]:
    others = [row for row in range(len(rows)) if row != asked]
    return set(sorted(others, key=lambda row: -float(rows[asked] @ rows[row]))[:count])


@pytest.mark.parametrize("seed", range(3))
def test_it_is_what_loops_say(seed: int) -> None:
    student, teacher = pair(seed)
    y, z = (unit(rows.astype(np.float64)) for rows in (student, teacher))
    found = agreement(student, teacher)
    both = list(combinations(range(30), 2))
    assert found.samples == 30
    assert found.cosine == pytest.approx(np.mean([y[i] @ z[i] for i in range(30)]), abs=1e-6)
    expected = spearmanr([y[i] @ y[j] for i, j in both], [z[i] @ z[j] for i, j in both]).statistic
    assert found.spearman == pytest.approx(expected, abs=1e-4)
    shared = [len(nearest(y, i, 10) & nearest(z, i, 10)) / 10 for i in range(30)]
    assert found.overlap == pytest.approx(np.mean(shared))
    for rows, rank in ((y, found.student_rank), (z, found.teacher_rank)):
        eigenvalues = np.linalg.svd(rows - rows.mean(axis=0))[1] ** 2
        shares = eigenvalues / eigenvalues.sum()
        assert rank == pytest.approx(np.exp(-np.sum(shares * np.log(shares))), rel=1e-4)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 999), scale=st.floats(0.01, 100))
def test_a_rotation_and_a_length_change_only_the_cosine(seed: int, scale: float) -> None:
    student, teacher = pair(seed)
    generator = np.random.default_rng(seed)
    rotation = np.linalg.qr(generator.normal(size=(5, 5)))[0]
    lengths = scale * generator.uniform(0.5, 2, size=(30, 1))
    turned = agreement(((student @ rotation) * lengths).astype(np.float32), teacher)
    before = agreement(student, teacher)
    assert turned.spearman == pytest.approx(before.spearman, abs=1e-3)
    assert turned.overlap == pytest.approx(before.overlap, abs=0.02)
    assert turned.student_rank == pytest.approx(before.student_rank, rel=1e-3)
    assert turned.teacher_rank == before.teacher_rank


def test_a_teacher_agrees_with_itself() -> None:
    _, teacher = pair(0)
    found = agreement(teacher, teacher)
    assert (found.cosine, found.spearman, found.overlap) == pytest.approx((1, 1, 1))
    assert found.student_rank == found.teacher_rank


def test_of_many_samples_some_are_drawn_and_the_same_again() -> None:
    y, z = (unit(rows) for rows in pair(1, n=300))
    whole = spearman(y, z)
    drawn_once = spearman(y, z, pairs=20_000, seed=3)
    assert drawn_once == spearman(y, z, pairs=20_000, seed=3) != spearman(y, z, pairs=20_000, seed=4)
    assert drawn_once == pytest.approx(whole, abs=0.03)
    assert top_overlap(y, z, queries=100, seed=3) == pytest.approx(top_overlap(y, z), abs=0.05)


def test_equals_are_ordered_by_their_place() -> None:
    z = np.tile(unit(np.ones((1, 3), dtype=np.float32)), (20, 1))
    assert top_overlap(z, z) == 1
    # The teacher's nearest are the first of all, the student's the last.
    y = unit(np.array([[1, 0.01 * row] for row in range(20)], dtype=np.float32) + np.float32(0))
    assert 0 <= top_overlap(y, z) < 1


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_samples_are_null(n: int) -> None:
    student, teacher = pair(0)
    found = agreement(student[:n], teacher[:n])
    assert isnan(found.spearman)
    assert isnan(found.overlap)
    assert isnan(found.student_rank) == (n < 2)
    assert isnan(found.cosine) == (n == 0)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["overlap"] is None
    assert found.row()["top-10 overlap"] == "-"


def test_a_student_that_says_the_same_of_all_has_no_order_and_no_rank() -> None:
    _, teacher = pair(0)
    constant = np.ones_like(teacher)
    found = agreement(constant, teacher)
    assert isnan(found.spearman)
    assert isnan(found.student_rank)
    assert isnan(rank_of(unit(constant)))


def test_sentences_that_the_device_cannot_read_do_not_count() -> None:
    coordinates = drawn(sentences_on_edge=False)
    found = agreements(coordinates)
    assert set(found) == {None, Modality.RGB, Modality.IR, Modality.SKETCH}
    assert found[None].samples == 30
    assert agreements(drawn())[Modality.TEXT].samples == 10
    images = coordinates.rows(Modality.IR)
    assert found[Modality.IR] == agreement(coordinates.edge[images], coordinates.cloud[images])
    assert [row["of"] for row in table(found)] == ["all", "rgb", "ir", "sketch"]
