"""The metric kernel against a literal reading of the definitions, and against scikit-learn."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from reid.metrics import Ranking, rank
from reid.protocol import Cmc
from reid.similarity import CosineScores, normalise
from reid.trials import Trial


class MatrixScores:
    """A given Q x G matrix, streamed in blocks of `rows`."""

    def __init__(self, matrix: np.ndarray, rows: int) -> None:
        self.matrix, self.rows = matrix.astype(np.float32), rows

    @property
    def shape(self) -> tuple[int, int]:
        return self.matrix.shape

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        for start in range(0, len(self.matrix), self.rows):
            yield start, self.matrix[start : start + self.rows].copy()


def trial_of(query_person, gallery_person, query_drop=None, gallery_drop=None) -> Trial:
    queries, entries = len(query_person), len(gallery_person)
    return Trial(
        np.arange(queries),
        np.arange(queries + 1),
        np.arange(entries),
        np.asarray(query_person, dtype=np.int64),
        np.asarray(gallery_person, dtype=np.int64),
        np.full(queries, -1) if query_drop is None else np.asarray(query_drop, dtype=np.int64),
        np.full(entries, -1) if gallery_drop is None else np.asarray(gallery_drop, dtype=np.int64),
    )


def brute_force(matrix: np.ndarray, trial: Trial, cmc: Cmc) -> list[tuple[list[int], int]]:
    """Per query: the places of all positives and the place that CMC counts, by sorting Python lists."""
    answers = []
    for q in range(len(matrix)):
        entries = sorted(range(matrix.shape[1]), key=lambda g: (-matrix[q, g], g))
        drop = trial.query_drop[q]
        entries = [g for g in entries if drop < 0 or trial.gallery_drop[g] != drop]
        people = [trial.gallery_person[g] for g in entries]
        places = [i for i, person in enumerate(people, 1) if person == trial.query_person[q]]
        if not places:
            answers.append(([], 0))
        elif cmc is Cmc.IMAGE:
            answers.append((places, places[0]))
        else:
            answers.append((places, list(dict.fromkeys(people)).index(trial.query_person[q]) + 1))
    return answers


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, Trial, int]:
    """Small problems with many ties, distractors, dropped entries, single cameras and queries without a positive."""
    queries, entries = draw(st.integers(1, 7)), draw(st.integers(1, 30))
    levels = draw(st.sampled_from([2, 5, 1000]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    people, cameras = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    query_person, gallery_person = rng.integers(0, people, queries), rng.integers(0, people + 2, entries)
    query_camera, gallery_camera = rng.integers(-1, cameras, queries), rng.integers(-1, cameras, entries)
    rule = draw(st.sampled_from(["none", "camera", "location"]))
    if rule == "none":
        drops = (None, None)
    elif rule == "camera":
        drops = tuple(
            np.where(camera < 0, -1, person * cameras + camera)
            for person, camera in ((query_person, query_camera), (gallery_person, gallery_camera))
        )
    else:
        drops = (query_camera, gallery_camera)
    matrix = (rng.integers(0, levels, (queries, entries)) / levels).astype(np.float32)
    return matrix, trial_of(query_person, gallery_person, *drops), draw(st.integers(1, 8))


@settings(max_examples=400, deadline=None)
@given(problems(), st.sampled_from(list(Cmc)))
def test_places_equal_a_literal_stable_sort(problem: tuple[np.ndarray, Trial, int], cmc: Cmc) -> None:
    matrix, trial, rows = problem
    ranking = rank(MatrixScores(matrix, rows), trial, cmc)
    expected = brute_force(matrix, trial, cmc)
    found = [part.tolist() for part in np.split(ranking.places, ranking.offsets[1:-1])]
    assert found == [places for places, _ in expected]
    assert ranking.cmc_place.tolist() == [place for _, place in expected]


@settings(max_examples=200, deadline=None)
@given(problems())
def test_scores_follow_the_definitions(problem: tuple[np.ndarray, Trial, int]) -> None:
    matrix, trial, rows = problem
    ranking = rank(MatrixScores(matrix, rows), trial)
    expected = brute_force(matrix, trial, Cmc.IMAGE)
    for q, (places, _) in enumerate(expected):
        if not places:
            assert not ranking.valid[q]
            assert np.isnan(ranking.average_precision[q])
            assert np.isnan(ranking.inverse_negative_penalty[q])
            continue
        precision = sum(hit / place for hit, place in enumerate(places, 1)) / len(places)
        assert ranking.average_precision[q] == pytest.approx(precision)
        assert ranking.inverse_negative_penalty[q] == pytest.approx(len(places) / places[-1])
    firsts = [places[0] for places, _ in expected if places]
    for k, value in enumerate(ranking.cmc(10), 1):
        assert value == pytest.approx(sum(first <= k for first in firsts) / max(1, len(firsts)))


def test_average_precision_equals_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    query, gallery = normalise(rng.standard_normal((40, 16))), normalise(rng.standard_normal((300, 16)))
    query_person, gallery_person = rng.integers(0, 10, 40), rng.integers(0, 10, 300)
    ranking = rank(CosineScores(query, gallery, block_bytes=5000), trial_of(query_person, gallery_person))
    similarity = query @ gallery.T
    expected = [average_precision_score(gallery_person == p, similarity[q]) for q, p in enumerate(query_person)]
    np.testing.assert_allclose(ranking.average_precision, expected, atol=1e-6)


def test_identical_embeddings_are_ranked_by_gallery_index() -> None:
    same = normalise(np.ones((1, 8)))
    ranking = rank(CosineScores(same, np.repeat(same, 5, axis=0)), trial_of([1], [0, 0, 1, 0, 1]))
    assert ranking.places.tolist() == [3, 5]


def test_blocks_do_not_change_the_ranking() -> None:
    rng = np.random.default_rng(1)
    query, gallery = normalise(rng.standard_normal((30, 8))), normalise(rng.standard_normal((90, 8)))
    trial = trial_of(rng.integers(0, 9, 30), rng.integers(0, 9, 90))
    whole = rank(CosineScores(query, gallery), trial)
    rows = rank(MatrixScores(query @ gallery.T, 1), trial)
    assert np.array_equal(whole.places, rows.places)


def test_scores_of_another_shape_are_a_bug() -> None:
    with pytest.raises(ValueError, match="scores are"):
        rank(MatrixScores(np.zeros((2, 3)), 1), trial_of([0], [0, 1, 2]))


def test_no_queries_give_empty_results() -> None:
    empty = Ranking(np.empty(0, dtype=np.int64), np.zeros(1, dtype=np.int64), np.empty(0, dtype=np.int64))
    assert empty.average_precision.size == 0
    assert empty.cmc(3).tolist() == [0, 0, 0]
