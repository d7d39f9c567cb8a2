"""The top of a ranking agrees with the places that the metric computed."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from test_metrics import MatrixScores, problems, trial_of

from reid.metrics import rank
from reid.neighbours import top


@settings(max_examples=100, deadline=None)
@given(problems())
def test_positives_in_the_whole_list_stand_at_their_places(problem) -> None:
    matrix, trial, rows = problem
    ranking = rank(MatrixScores(matrix, rows), trial)
    lists = top(MatrixScores(matrix, rows), trial, np.arange(len(matrix)), matrix.shape[1])
    for q, neighbours in enumerate(lists):
        places = [place for place, n in enumerate(neighbours, 1) if n.same]
        assert places == ranking.places[ranking.offsets[q] : ranking.offsets[q + 1]].tolist()


def test_only_the_queries_asked_for_and_only_k() -> None:
    matrix = np.array([[1, 2, 3], [3, 2, 1], [5, 5, 9]], dtype=np.float32) / 10
    trial = trial_of([0, 1, 2], [2, 1, 0])
    lists = top(MatrixScores(matrix, 2), trial, np.array([2, 0]), 2)
    assert [[n.row for n in one] for one in lists] == [[2, 0], [2, 1]]
    assert [[n.same for n in one] for one in lists] == [[False, True], [True, False]]
