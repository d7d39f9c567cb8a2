"""How an answer is made: what is asked of the gallery, and what of a search's rules can be set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from edge_runtime.gallery import Filter, Hit
from reid.errors import UserError
from reid.modality import Modality
from reid.similarity import Floats

AGGREGATES = ("best", "mean")
Centre = tuple[Modality, Mapping[Modality, Floats]]
"""The queries' modality, and the mean embedding of each modality."""


class Searchable(Protocol):
    """What identification needs of a gallery, here or on a server."""

    dim: int

    def search(self, queries: Floats, k: int, where: Filter = ..., *, centre: Centre | None = None) -> list[list[Hit]]:
        """The best k rows of each query, all that match if there are fewer."""

    def search_with_vectors(
        self, queries: Floats, k: int, where: Filter = ..., *, centre: Centre | None = None
    ) -> tuple[list[list[Hit]], list[Floats]]:
        """The same, with the rows' embeddings."""


@dataclass(frozen=True)
class ReRanking:
    """k-reciprocal re-ranking of the best rows of one query.

    Attributes:
        rows: how many rows are put in a new order; what is below stays out of the answer.
        k1, k2, weight: as in `reid.rerank.ReRanked` (weight is its lambda).
    """

    rows: int = 100
    k1: int = 20
    k2: int = 6
    weight: float = 0.3


@dataclass(frozen=True)
class Rules:
    """How rows become people and people an answer.

    Attributes:
        top: candidates in an answer.
        threshold: cosine from which on the best candidate counts as the person asked for (`reid calibrate` finds it for
            a false-accept rate of pairs; the more people a gallery has, the more chances a stranger gets). None takes
            the best candidate whatever its score.
        aggregate: a person's score is that of their "best" row, or the "mean" of their `rows_of_person` best ones (of
            all they have, if they have fewer). A threshold holds for the one that it was calibrated with.
        rows_of_person: m of "mean".
        rerank: how to re-rank; the order changes, the decision is still made on the cosine.
        centre: to compare embeddings from which the mean of their modality was taken; needs its own threshold.

    Raises:
        UserError: a rule makes no sense.
    """

    top: int = 10
    threshold: float | None = None
    aggregate: str = "best"
    rows_of_person: int = 3
    rerank: ReRanking | None = None
    centre: Centre | None = None

    def __post_init__(self) -> None:
        if self.aggregate not in AGGREGATES:
            raise UserError(f"--aggregate {self.aggregate}: expected one of {', '.join(AGGREGATES)}")
        for name, value in (("--top", self.top), ("--rows-of-person", self.rows_of_person)):
            if value < 1:
                raise UserError(f"{name} {value}: expected 1 or more")
        if self.threshold is not None and not -1 <= self.threshold <= 1:
            raise UserError(f"--threshold {self.threshold}: expected a cosine, -1 to 1")
        if self.rerank is not None and self.rerank.rows < 2:
            raise UserError(f"--rerank {self.rerank.rows}: expected a number of rows, 2 or more")
