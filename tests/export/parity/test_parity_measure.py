"""The measures against brute force and scikit-learn, and what they say of what is not finite."""

from __future__ import annotations

import json
from math import isnan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import NearestNeighbors

from export.parity.measure import NEIGHBOURS, TIE, Parity, compare
from reid.errors import UserError
from reid.evaluation import format_table
from reid.modality import Modality

RGB, IR, SKETCH = Modality.RGB, Modality.IR, Modality.SKETCH


def drawn(n: int, k: int, seed: int, noise: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    reference = rng.normal(size=(n, k)) + 1
    found = (reference + noise * rng.normal(size=(n, k))) * rng.uniform(0.5, 2, size=(n, 1))
    return reference.astype(np.float32), found.astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(st.integers(12, 40), st.integers(3, 16), st.integers(0, 10**6), st.sampled_from([1e-4, 0.1, 1.0]))
def test_cosines_and_neighbours_are_those_of_scikit_learn(n: int, k: int, seed: int, noise: float) -> None:
    reference, found = drawn(n, k, seed, noise)
    parity = compare(reference, found, [RGB] * n)
    cosines = np.diag(cosine_similarity(reference.astype(np.float64), found.astype(np.float64)))
    assert parity.cosine_min == pytest.approx(cosines.min(), abs=1e-9)
    assert parity.cosine_mean == pytest.approx(cosines.mean(), abs=1e-9)
    assert parity.cosine_p1 == pytest.approx(np.percentile(cosines, 1), abs=1e-9)
    assert parity.worst == f"row {cosines.argmin()}"
    sets = []
    for rows in (reference, found):
        index = NearestNeighbors(n_neighbors=NEIGHBOURS, metric="cosine").fit(rows.astype(np.float64))
        sets.append([set(row) for row in index.kneighbors(return_distance=False)])
    shared = np.mean([len(one & other) / NEIGHBOURS for one, other in zip(*sets, strict=True)])
    assert parity.neighbours10 == pytest.approx(shared, abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-2, 2), st.integers(1, 2)), min_size=1, max_size=14),
    st.data(),
)
def test_with_ties_and_few_images_the_rule_is_the_one_that_is_written_down(
    rows: list[tuple[int, int]], data: st.DataObject
) -> None:
    """At most n - 2 neighbours; a neighbour counts if the reference finds it as near as its own last one."""
    reference = np.array(rows, dtype=np.float32)
    found = np.array(data.draw(st.permutations(rows)), dtype=np.float32)
    parity = compare(reference, found, [RGB] * len(rows))
    n, count = len(rows), min(10, len(rows) - 2)
    if count < 1:
        assert parity.neighbours == 0
        assert isnan(parity.neighbours10)
        return
    before, after = (cosine_similarity(x.astype(np.float64)) for x in (reference, found))
    shared = 0
    for i in range(n):
        others = [j for j in range(n) if j != i]
        last = sorted((before[i, j] for j in others), reverse=True)[count - 1]
        # Equal cosines are equal to the last bit only in one way of computing them.
        kth = sorted((after[i, j] for j in others), reverse=True)[count - 1]
        if any(abs(after[i, j] - kth) < 1e-9 for j in others if after[i, j] != kth):
            return
        nearest = sorted(others, key=lambda j: (-after[i, j], j))[:count]
        if sum(abs(after[i, j] - kth) < 1e-9 for j in others) > 1 and count < len(others):
            return
        shared += sum(before[i, j] >= last - TIE for j in nearest)
    assert parity.neighbours == count
    assert parity.neighbours10 == pytest.approx(shared / (n * count))


def test_two_copies_of_an_image_may_change_places() -> None:
    reference, _ = drawn(14, 6, 0, 0)
    copies = np.concatenate([reference, reference])
    jitter = 1 + 1e-7 * np.random.default_rng(1).normal(size=copies.shape)
    assert compare(copies, (copies * jitter).astype(np.float32), [RGB] * 28).neighbours10 == 1


def test_a_row_that_is_not_finite_is_counted_named_and_left_out_of_the_cosines() -> None:
    reference, found = drawn(20, 4, 0, 0.01)
    clean = compare(reference, found, [RGB] * 20)
    found[3, :2] = np.nan, np.inf
    names = [f"image {row}.jpg" for row in range(20)]
    parity = compare(reference, found, [RGB] * 20, names=names)
    assert (parity.nonfinite, parity.nonfinite_rows, parity.worst) == (2, 1, "image 3.jpg")
    assert not parity.finite
    kept = [row for row in range(20) if row != 3]
    assert parity.cosine_mean == compare(reference[kept], found[kept], [RGB] * 19).cosine_mean
    assert parity.neighbours10 < clean.neighbours10
    assert "1 not finite" in str(parity)


def test_a_row_that_is_not_finite_is_nobodys_neighbour() -> None:
    """With nothing else wrong: of 12 rows each of the 11 good ones has 10 others left, one of which is new."""
    reference, _ = drawn(12, 4, 0, 0)
    found = reference.copy()
    found[5] = np.nan
    parity = compare(reference, found, [RGB] * 12)
    near = NearestNeighbors(n_neighbors=10, metric="cosine").fit(reference).kneighbors(return_distance=False)
    lost = sum(5 in row for place, row in enumerate(near.tolist()) if place != 5)
    assert parity.neighbours10 == pytest.approx((11 * 10 - lost) / 120)


def test_nothing_finite_gives_no_numbers_and_not_good_ones() -> None:
    reference, found = drawn(5, 3, 0, 0)
    parity = compare(reference, np.full_like(found, np.nan), [RGB] * 5)
    assert parity.nonfinite_rows == 5
    assert isnan(parity.cosine_min)
    assert isnan(parity.cosine_mean)
    assert parity.neighbours10 == 0


def test_each_modality_is_measured_among_itself() -> None:
    reference, found = drawn(30, 5, 3, 0.2)
    modalities = [(RGB, IR, SKETCH)[row % 3] for row in range(30)]
    names = [f"{modality}/{row}" for row, modality in enumerate(modalities)]
    parity = compare(reference, found, modalities, names=names)
    assert list(parity.modalities) == [RGB, IR, SKETCH]
    alone = compare(reference[1::3], found[1::3], modalities[1::3], names=names[1::3])
    ir = parity.modalities[IR]
    assert (ir.cosine_min, ir.neighbours10, ir.worst) == (alone.cosine_min, alone.neighbours10, alone.worst)
    assert ir.worst.startswith("ir/")
    assert min(each.cosine_min for each in parity.modalities.values()) == parity.cosine_min
    table = format_table(parity.rows())
    assert [line.split()[0] for line in table.splitlines()[2:]] == ["all", "rgb", "ir", "sketch"]


@pytest.mark.parametrize("bad", [False, True])
def test_a_parity_goes_through_json_and_back(bad: bool) -> None:
    reference, found = drawn(4, 3, 0, 0.1)
    if bad:
        found[:2] = np.nan
    parity = compare(reference, found, [RGB, RGB, IR, SKETCH])
    raw = json.loads(json.dumps(parity.to_dict(), allow_nan=False))
    again = Parity.from_dict(raw, "parity.json")
    assert repr(again) == repr(parity)  # NaN is not equal to itself


def test_what_is_no_parity_is_refused_by_the_files_name() -> None:
    with pytest.raises(UserError, match=r"parity\.json: not a parity report"):
        Parity.from_dict({"images": 3}, "parity.json")


def test_a_broken_student_is_not_blamed_on_the_graph() -> None:
    reference, found = drawn(4, 3, 0, 0)
    reference[2] = np.nan
    with pytest.raises(UserError, match="row 2"):
        compare(reference, found, [RGB] * 4)
    with pytest.raises(UserError, match="no images"):
        compare(reference[:0], found[:0], [])
