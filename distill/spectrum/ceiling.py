"""What a student can reach: retrieval of the projected teacher against the number of coordinates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.spectrum.rank import by_ceiling
from reid.embeddings import EmbeddingStore
from reid.evaluation import Evaluation, evaluate
from reid.matrix import Pairs, matrix_protocols
from reid.modality import Modality
from reid.progress import progress_bar
from reid.protocol import Protocol, on_validation
from reid.sample import Split
from reid.subspace import Subspace
from reid.table import SampleTable

Scores = dict[Modality, float]
"""Query modality -> mAP in per cent."""


@dataclass(frozen=True)
class Bounds:
    """Which ranks may be chosen: multiples of `multiple` from `low` to `high`, and `high` itself."""

    low: int
    high: int
    multiple: int

    def candidates(self) -> list[int]:
        """All of them, ascending."""
        first = -(-max(self.low, 1) // self.multiple) * self.multiple
        return [*range(first, self.high, self.multiple), self.high]


@dataclass(frozen=True)
class Ceiling:
    """How well the projected teacher retrieves validation people.

    Attributes:
        gallery: the modality that is searched: RGB, if the store allows.
        queries: how many queries of each modality were asked.
        full: mAP of the whole teacher by query modality, in per cent.
        curve: k -> the same of the first k coordinates, ascending.
        tolerance: how many points of the mean mAP may be lost.
        kept: the smallest rank, of those that may be chosen, from which on the projected teacher keeps the mean mAP of
            `full` within the tolerance; None if none does.
        settled: that rank; if there is none, the smallest of those tested that comes within the tolerance of the best.
    """

    gallery: Modality
    queries: dict[Modality, int]
    full: Scores
    curve: dict[int, Scores]
    tolerance: float
    kept: int | None
    settled: int

    def mean(self, k: int | None = None) -> float:
        """Mean over the query modalities of the mAP of the first k coordinates, or of the whole embedding."""
        return mean(self.full if k is None else self.curve[k])

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "gallery": str(self.gallery),
            "queries": {str(modality): count for modality, count in self.queries.items()},
            "full": _named(self.full),
            "curve": {str(k): _named(scores) for k, scores in self.curve.items()},
            "tolerance": self.tolerance,
            "kept": self.kept,
            "settled": self.settled,
        }


@dataclass(frozen=True)
class Validators:
    """The validation samples of a store and how they are scored.

    Attributes:
        table: their columns.
        embeddings: [n, D], as stored.
        gallery: the modality that is searched.
        protocols: query modality -> rule.
    """

    table: SampleTable
    embeddings: NDArray[np.float32]
    gallery: Modality
    protocols: dict[Modality, Protocol]

    def evaluate(self, embeddings: NDArray[np.float32]) -> dict[Modality, Evaluation]:
        """Score embeddings [n, any width] of the validation samples."""
        # A sample exactly at the centre has no direction. It is given one that it shares with its like.
        lost = np.flatnonzero(np.abs(embeddings).max(axis=1) == 0)
        usable = embeddings.copy() if lost.size else embeddings
        usable[lost] = 1
        return {query: evaluate(protocol, self.table, usable) for query, protocol in self.protocols.items()}

    def score(self, embeddings: NDArray[np.float32]) -> Scores:
        """mAP of each query modality, in per cent."""
        return {query: 100 * found.mean_ap for query, found in self.evaluate(embeddings).items()}


def mean(scores: Mapping[Modality, float]) -> float:
    """Over the query modalities, so that none is forgotten."""
    return float(np.mean(list(scores.values())))


def validators(store: EmbeddingStore) -> Validators | None:
    """The validation samples of a store; None if nobody there can be asked for and found.

    Every modality asks for RGB. If no pair of samples allows that, the gallery is the first modality that some other
    can be searched in, or the only one that there is.
    """
    rows = np.flatnonzero([split is Split.VAL for split in store.table.split])
    if not rows.size:
        return None
    published = [on_validation(p) for p in store.protocols if p.query_groups is None and p.galleries is None]
    table, pairs = matrix_protocols(_only(store.table, rows), published, Split.VAL)
    if not pairs:
        return None
    gallery = _gallery(pairs)
    protocols = {query: protocol for (query, searched), protocol in pairs.items() if searched is gallery}
    return Validators(table, store.embeddings(rows), gallery, protocols)


def ceiling(people: Validators, subspace: Subspace, bounds: Bounds, tolerance: float, *, also: int = 0) -> Ceiling:
    """Retrieval of the projected teacher for a geometric list of k, and the smallest rank that keeps the teacher's.

    Args:
        people: who is asked for.
        subspace: with all its D coordinates.
        bounds: which ranks may be chosen. All D coordinates are scored too, but have no say if they may not be chosen.
        tolerance: points of mean mAP that may be lost.
        also: a rank that is to be scored in any case.
    """
    projected = subspace.project(people.embeddings, people.table.modality)
    full, queries = _whole_teacher(people)
    curve: dict[int, Scores] = {}
    with progress_bar(what="ceiling", unit="ranks") as bar:

        def score(k: int) -> float:
            if k not in curve:
                curve[k] = people.score(projected[:, :k])
                bar.update()
            return mean(curve[k])

        for k in {*geometric(min(bounds.high, subspace.rank)), subspace.rank, also} - {0}:
            score(k)
        kept = search(score, mean(full), bounds, tolerance)
        allowed = set(bounds.candidates())
        settled = kept
        if settled is None:
            # Not "and all larger ones": beyond the useful coordinates the curve only wavers.
            best = max(score(k) for k in tuple(curve) if k in allowed)
            settled = min(k for k in curve if k in allowed and score(k) >= best - tolerance)
    ordered = {k: curve[k] for k in sorted(curve)}
    return Ceiling(people.gallery, queries, full, ordered, tolerance, kept, settled)


def whole_ceiling(people: Validators, subspace: Subspace, tolerance: float) -> Ceiling:
    """The same where coordinates have no order, so that none can be left out: only all of them are scored."""
    k = subspace.rank
    curve = {k: people.score(subspace.project(people.embeddings, people.table.modality))}
    full, queries = _whole_teacher(people)
    kept = by_ceiling({k: mean(curve[k])}, mean(full), tolerance)
    return Ceiling(people.gallery, queries, full, curve, tolerance, kept, k)


def search(score: Callable[[int], float], full: float, bounds: Bounds, tolerance: float) -> int | None:
    """The smallest rank among the candidates from which on all tested ones keep `full` within `tolerance`.

    Tested are the candidates nearest to a geometric list, and then, by bisection, those between the last that falls
    short and the first that passes. None if the largest falls short.
    """
    candidates = bounds.candidates()
    tested = {min(candidates, key=lambda k: (abs(k - mark), k)) for mark in geometric(bounds.high)} | {bounds.high}
    scores = {k: score(k) for k in sorted(tested)}
    while (passing := by_ceiling(scores, full, tolerance)) is not None:
        below = max((k for k in scores if k < passing), default=0)
        between = [k for k in candidates if below < k < passing]
        if not between:
            break
        middle = between[len(between) // 2]
        scores[middle] = score(middle)
    return passing


def geometric(high: int) -> list[int]:
    """2, 3, 4, 6, 8, 12, 16, 24, ... up to `high`: powers of two and what lies half-way between; 1 if nothing else is.

    By one coordinate every cosine is 1 or -1, and a ranking of equals says nothing.
    """
    steps = {step for a in range(1, high.bit_length()) for step in (2**a, 3 * 2 ** (a - 1))}
    return sorted(k for k in steps if k <= high) or [high]


def _whole_teacher(people: Validators) -> tuple[Scores, dict[Modality, int]]:
    """mAP of the unprojected embeddings, and how many queries there are, by query modality."""
    whole = people.evaluate(people.embeddings)
    full = {query: 100 * found.mean_ap for query, found in whole.items()}
    return full, {query: found.trials[0].queries for query, found in whole.items()}


def _gallery(pairs: Pairs) -> Modality:
    if any(gallery is Modality.RGB for _, gallery in pairs):
        return Modality.RGB
    across = [gallery for query, gallery in pairs if query is not gallery]
    return across[0] if across else next(iter(pairs))[1]


def _named(scores: Scores) -> dict[str, float]:
    return {**{str(modality): score for modality, score in scores.items()}, "mean": mean(scores)}


def _only(table: SampleTable, rows: NDArray[np.int64]) -> SampleTable:
    columns = ("sample_id", "person_id", "modality", "split", "camera_id", "source_id")
    picked = {column: [getattr(table, column)[row] for row in rows.tolist()] for column in columns}
    return replace(table, **picked)
