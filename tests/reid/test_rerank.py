"""Sparse re-ranking against the paper's formulas, written out with Python's sets and dictionaries."""

from __future__ import annotations

import math
from fractions import Fraction
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import reid.rerank.encoding
import reid.rerank.scores
from reid.errors import UserError
from reid.rerank import ReRanked
from reid.similarity import normalise

Floats = NDArray[np.float32]


def reranked_distances(
    features: Floats, queries: int, k1: int, k2: int, lambda_: float, squared_twice: bool = False
) -> NDArray[np.float64]:
    """[Q, G] final distances of Zhong et al. 2017, one pair at a time."""
    everything = range(len(features))
    similarity = features.astype(np.float64) @ features.astype(np.float64).T
    squared = [[2 - 2 * float(s) for s in row] for row in similarity]
    if squared_twice:
        squared = [[d**2 for d in row] for row in squared]
    distance = [[d / max(row) if max(row) > 1e-6 else 0.0 for d in row] for row in squared]
    order = [sorted(everything, key=lambda j: (-similarity[i, j], j)) for i in everything]

    def nearest(i: int, k: int) -> set[int]:
        return set(order[i][: k + 1])

    def reciprocal(i: int, k: int) -> set[int]:
        return {j for j in nearest(i, k) if i in nearest(j, k)}

    def expanded(i: int) -> set[int]:
        own = reciprocal(i, k1)
        grown = set(own)
        for j in own:
            theirs = reciprocal(j, round(k1 / 2))
            if len(own & theirs) > Fraction(2, 3) * len(theirs):
                grown |= theirs
        return grown

    encoded: list[dict[int, float]] = []
    for i in everything:
        weights = {j: math.exp(-distance[i][j]) for j in expanded(i)}
        encoded.append({j: w / sum(weights.values()) for j, w in weights.items()})
    if k2 > 1:
        groups = [order[i][:k2] for i in everything]
        encoded = [
            {c: sum(encoded[j].get(c, 0) for j in group) / len(group) for j in group for c in encoded[j]}
            for group in groups
        ]

    def jaccard(a: dict[int, float], b: dict[int, float]) -> float:
        smaller = sum(min(a[c], b[c]) for c in a.keys() & b.keys())
        return 1 - smaller / (2 - smaller)

    return np.array(
        [
            [(1 - lambda_) * jaccard(encoded[q], encoded[g]) + lambda_ * distance[q][g] for g in everything[queries:]]
            for q in everything[:queries]
        ]
    ).reshape(queries, len(features) - queries)


def collected(scores: ReRanked) -> Floats:
    """All blocks side by side; fails if they do not follow each other."""
    whole = np.full(scores.shape, np.nan, dtype=np.float32)
    expected = 0
    for start, block in scores.blocks():
        assert start == expected
        assert block.dtype == np.float32
        whole[start : start + len(block)] = block
        block[:] = np.nan  # a receiver may overwrite it
        expected += len(block)
    assert expected == scores.shape[0]
    return whole


def assert_same(scores: Floats, expected: NDArray[np.float64]) -> None:
    """Equal to float32 rounding, and in the same order wherever two distances differ by more than that."""
    np.testing.assert_allclose(-scores, expected, rtol=0, atol=4e-6)
    ranked = np.take_along_axis(expected, np.argsort(-scores, axis=1, kind="stable"), axis=1)
    assert (np.diff(ranked, axis=1) > -8e-6).all()


def exact_rows(rng: np.random.Generator, n: int, prototypes: int) -> Floats:
    """Unit rows whose products are exact in float32, so that ties are ties: +-1, four +-1/2 or sixteen +-1/4 of 16."""
    rows = np.zeros((prototypes, 16), dtype=np.float32)
    for row in rows:
        filled = rng.choice([1, 4, 16])
        row[rng.choice(16, filled, replace=False)] = rng.choice([-1, 1], filled) / np.sqrt(filled)
    return rows[rng.integers(0, prototypes, n)]


def clustered_rows(rng: np.random.Generator, n: int, people: int) -> Floats:
    centres = rng.standard_normal((people, 12))
    return normalise(centres[rng.integers(0, people, n)] + 0.5 * rng.standard_normal((n, 12)))


settings_of_the_method = {
    "k1": st.integers(1, 25),
    "k2": st.integers(1, 8),
    "lambda_": st.sampled_from([0.0, 0.3, 0.75, 1.0]),
    "squared_twice": st.booleans(),
}


@settings(max_examples=120, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(2, 40), prototypes=st.integers(1, 30), **settings_of_the_method)
def test_equals_the_paper_where_many_images_tie_or_are_duplicates(
    seed: int, n: int, prototypes: int, k1: int, k2: int, lambda_: float, squared_twice: bool
) -> None:
    rng = np.random.default_rng(seed)
    features = exact_rows(rng, n, prototypes)
    queries = int(rng.integers(1, n))
    scores = ReRanked(
        features[:queries], features[queries:], k1=k1, k2=k2, lambda_=lambda_, squared_twice=squared_twice
    )
    assert scores.shape == (queries, n - queries)
    assert_same(collected(scores), reranked_distances(features, queries, k1, k2, lambda_, squared_twice))


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(2, 70), people=st.integers(1, 15), **settings_of_the_method)
def test_equals_the_paper_on_people_seen_several_times(
    seed: int, n: int, people: int, k1: int, k2: int, lambda_: float, squared_twice: bool
) -> None:
    rng = np.random.default_rng(seed)
    features = clustered_rows(rng, n, people)
    gaps = np.diff(np.sort(features @ features.T, axis=1), axis=1)
    assume(gaps.min() > 1e-6)  # else rounding decides who is nearer
    queries = int(rng.integers(1, n))
    scores = ReRanked(
        features[:queries], features[queries:], k1=k1, k2=k2, lambda_=lambda_, squared_twice=squared_twice
    )
    assert_same(collected(scores), reranked_distances(features, queries, k1, k2, lambda_, squared_twice))


@pytest.mark.parametrize("prototypes", [6, 200])
def test_cutting_the_work_into_pieces_changes_nothing(prototypes: int) -> None:
    features = exact_rows(np.random.default_rng(prototypes), 83, prototypes)
    whole = collected(ReRanked(features[:31], features[31:], k1=7))
    with (
        patch.object(reid.rerank.encoding, "_ROWS", 9),
        patch.object(reid.rerank.encoding, "_NEIGHBOUR_PAIRS", 300),
        patch.object(reid.rerank.encoding, "_PAIR_FLOATS", 70),
        patch.object(reid.rerank.scores, "_CELLS", 150),
    ):
        pieces = ReRanked(features[:31], features[31:], k1=7, block_bytes=4 * 52 * 5)
        starts = [start for start, _ in pieces.blocks()]
        np.testing.assert_array_equal(collected(pieces), whole)
    assert starts == [0, 5, 10, 15, 20, 25, 30]


@pytest.mark.parametrize("dense", [0, 1000])
def test_scattered_and_consecutive_additions_agree(dense: int) -> None:
    features = clustered_rows(np.random.default_rng(8), 60, 9)
    with patch.object(reid.rerank.scores, "_DENSE", dense):
        scores = collected(ReRanked(features[:20], features[20:], k1=6, k2=3))
    assert_same(scores, reranked_distances(features, 20, 6, 3, 0.3))


def test_blocks_can_be_read_again() -> None:
    features = clustered_rows(np.random.default_rng(0), 60, 5)
    scores = ReRanked(features[:20], features[20:], block_bytes=1000)
    np.testing.assert_array_equal(collected(scores), collected(scores))


def test_a_single_query_and_a_single_gallery_entry() -> None:
    features = normalise(np.array([[3.0, 4.0], [4.0, 3.0]]))
    assert_same(collected(ReRanked(features[:1], features[1:])), reranked_distances(features, 1, 20, 6, 0.3))


def test_k1_beyond_all_images_takes_all_images() -> None:
    features = clustered_rows(np.random.default_rng(3), 12, 3)
    scores = [collected(ReRanked(features[:4], features[4:], k1=k1)) for k1 in (22, 1000, 40_000)]
    np.testing.assert_array_equal(scores[0], scores[1])
    np.testing.assert_array_equal(scores[0], scores[2])


def test_images_that_are_all_alike_score_alike() -> None:
    features = normalise(np.ones((300, 7)))
    scores = collected(ReRanked(features[:100], features[100:]))
    assert np.isfinite(scores).all()
    # With more than k1 duplicates the first k1 + 1 are everybody's neighbours; only d could tell the others apart.
    np.testing.assert_allclose(scores, scores[0, 0], atol=1e-6)


def test_re_ranking_finds_more_of_the_right_people() -> None:
    rng = np.random.default_rng(1)
    people = np.repeat(np.arange(30), 10)
    rows = rng.standard_normal((30, 32))[people] + 1.3 * rng.standard_normal((300, 32))
    features = normalise(rows)
    is_query = np.arange(300) % 10 == 0
    query, gallery = features[is_query], features[~is_query]
    right = people[is_query][:, None] == people[~is_query]

    def precision(scores: Floats) -> float:
        first = np.argsort(-scores, axis=1)[:, :9]
        return float(np.take_along_axis(right, first, axis=1).mean())

    assert precision(collected(ReRanked(query, gallery, k1=10, k2=3))) > precision(query @ gallery.T) + 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k1": 0}, "k1 is 0"),
        ({"k2": -1}, "k2 is -1"),
        ({"lambda_": 1.5}, "lambda is 1.5"),
        ({"lambda_": float("nan")}, "lambda is nan"),
    ],
)
def test_impossible_settings_are_refused(options: dict[str, float], message: str) -> None:
    features = clustered_rows(np.random.default_rng(0), 10, 2)
    with pytest.raises(UserError, match=message):
        ReRanked(features[:3], features[3:], **options)  # type: ignore[arg-type]


def test_embeddings_of_another_width_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(UserError, match=r"\(3, 8\).*\(5, 6\)"):
        ReRanked(normalise(rng.standard_normal((3, 8))), normalise(rng.standard_normal((5, 6))))


def test_rows_that_are_not_normalised_are_refused() -> None:
    rows = np.full((4, 4), 0.5, dtype=np.float32)
    with pytest.raises(ValueError, match="gallery"):
        ReRanked(rows, 2 * rows)
