"""Rank lists: which queries are drawn, in what order, and that the ranking shown is the one that was scored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import reid.rank_lists
from reid.dataset import Dataset
from reid.errors import UserError
from reid.evaluation import evaluate
from reid.modality import Modality
from reid.pictures import RankRow
from reid.protocol import cross_modal
from reid.rank_lists import draw_rank_lists
from reid.sample import Sample, Split
from reid.similarity import CosineScores, Floats
from reid.table import SampleTable

PROTOCOL = cross_modal("p", Modality.RGB, Modality.RGB)
RANKED = {"q0": [1, 0, 2, 3], "q1": [0, 2, 3, 1], "q2": [2, 0, 1, 3], "q3": [0, 1, 3, 2]}
"""Gallery people in the order of their cosine: the queries find their own at places 2, 4, 1 and 3."""


class Reversed(CosineScores):
    """Who is least alike comes first."""

    def blocks(self) -> Iterator[tuple[int, Floats]]:
        for start, block in super().blocks():
            yield start, -block


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Four people, each with one query q<n> and one gallery image g<n>."""
    samples = []
    for split, letter in ((Split.QUERY, "q"), (Split.GALLERY, "g")):
        for person in range(4):
            image = tmp_path / f"{letter}{person}.png"
            Image.new("RGB", (8, 16), (60 * person, 90, 120)).save(image)
            samples.append(Sample(image.stem, str(person), Modality.RGB, split, f"{letter}cam", image))
    return Dataset("manifest", tmp_path, tuple(samples), (PROTOCOL,))


def embeddings() -> Floats:
    """The gallery stands along the axes, so a query's coordinates are its scores."""
    queries = np.zeros((4, 4), dtype=np.float32)
    for row, order in enumerate(RANKED.values()):
        queries[row, order] = [4, 3, 2, 1]
    return np.concatenate([queries, np.eye(4, dtype=np.float32)])


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[RankRow]:
    """The rows that were handed to the drawing, which still takes place."""
    captured: list[RankRow] = []
    real = reid.rank_lists.rank_list

    def capture(rows, **options):
        captured.extend(rows)
        return real(rows, **options)

    monkeypatch.setattr(reid.rank_lists, "rank_list", capture)
    return captured


def draw(dataset: Dataset, scorer: type[CosineScores] = CosineScores, **options: int) -> None:
    table = SampleTable.of(dataset.samples)
    result = evaluate(PROTOCOL, table, embeddings(), scorer=scorer)
    draw_rank_lists(result, table, embeddings(), dataset, scorer=scorer, **options)


def names(rows: list[RankRow]) -> list[str]:
    return [Path(row.shown).stem for row in rows]


def answers(row: RankRow) -> list[int]:
    return [int(Path(entry.shown).stem.removeprefix("g")) for entry in row.entries]


def test_the_worst_answered_query_comes_first(dataset: Dataset, drawn: list[RankRow]) -> None:
    draw(dataset)
    assert names(drawn) == ["q1", "q3", "q0", "q2"]
    assert [row.label for row in drawn] == ["1  AP 0.25", "3  AP 0.33", "0  AP 0.50", "2  AP 1.00"]
    assert [answers(row) for row in drawn] == [RANKED[name] for name in names(drawn)]
    assert [[entry.right for entry in row.entries].index(True) for row in drawn] == [3, 2, 1, 0]


def test_few_queries_span_the_worst_to_the_best(dataset: Dataset, drawn: list[RankRow]) -> None:
    draw(dataset, queries=2, places=3)
    assert names(drawn) == ["q1", "q2"]
    assert [answers(row) for row in drawn] == [[0, 2, 3], [2, 0, 1]]


def test_the_ranking_shown_is_by_the_scorer_that_was_scored(dataset: Dataset, drawn: list[RankRow]) -> None:
    draw(dataset, Reversed)
    assert names(drawn) == ["q2", "q0", "q3", "q1"]
    assert [answers(row) for row in drawn] == [RANKED[name][::-1] for name in names(drawn)]
    assert [[entry.right for entry in row.entries].index(True) for row in drawn] == [3, 2, 1, 0]


def test_a_sample_that_the_data_set_lacks_is_named(dataset: Dataset) -> None:
    table = SampleTable.of(dataset.samples)
    result = evaluate(PROTOCOL, table, embeddings())
    smaller = Dataset("manifest", dataset.root, dataset.samples[:-1], (PROTOCOL,))
    with pytest.raises(UserError, match="has no sample 'g3'"):
        draw_rank_lists(result, table, embeddings(), smaller)
