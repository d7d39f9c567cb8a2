"""CMC, mAP and mINP from streamed scores, without sorting what need not be sorted.

The place of a positive in the ranking is 1 + the number of valid gallery entries before it, and nothing else about the
ranking matters. Entries that score below the worst positive are before none, so only those above it are sorted; what
remains of the cost is the matrix product. Equal scores are ordered by gallery index, as a stable sort would.

Definitions (fast-reid `evaluation/rank.py`, torchreid `metrics/rank.py`; mINP: AGW, arXiv 2001.04193, eq. 8):
AP = mean over a query's positives of (positives so far / place); INP = positives / place of the last one;
CMC@k = share of queries with a positive among the first k. Queries with no positive left are skipped and counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reid.protocol import Cmc
from reid.ragged import ranges, starting
from reid.similarity import Floats, ScoreBlocks
from reid.trials import Trial

Ints = NDArray[np.int64]

_SAMPLE = 256
"""Entries of a row that are looked at to guess how many of it score above the worst positive."""


@dataclass(frozen=True)
class Ranking:
    """Where every query's positives ended up.

    Attributes:
        places: [P] places (from 1) of all positives among the valid gallery entries, query by query, ascending.
        offsets: [Q + 1] where each query's places start; a query without positives has none.
        cmc_place: [Q] place that CMC counts: of the first positive among images or among identities; 0 if skipped.
    """

    places: Ints
    offsets: Ints
    cmc_place: Ints

    @property
    def valid(self) -> NDArray[np.bool_]:
        """[Q] whether the query has a positive."""
        return np.diff(self.offsets) > 0

    @property
    def average_precision(self) -> NDArray[np.float64]:
        """[Q] AP of each query; NaN if it has no positive."""
        counts = np.diff(self.offsets)
        hits = np.arange(1, self.places.size + 1) - np.repeat(self.offsets[:-1], counts)
        sums = np.add.reduceat(np.append(hits / self.places, 0.0), self.offsets[:-1]) if counts.size else np.empty(0)
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)

    @property
    def inverse_negative_penalty(self) -> NDArray[np.float64]:
        """[Q] INP of each query; NaN if it has no positive."""
        counts = np.diff(self.offsets)
        last = np.append(self.places, 1)[np.maximum(self.offsets[1:] - 1, 0)]
        return np.where(counts > 0, counts / last, np.nan)

    def cmc(self, length: int) -> NDArray[np.float64]:
        """[length] share of the valid queries whose CMC place is at most 1, 2, ..., length."""
        places = self.cmc_place[self.valid]
        return np.array([np.count_nonzero(places <= k) for k in range(1, length + 1)]) / max(1, places.size)


def rank(
    scores: ScoreBlocks, trial: Trial, cmc: Cmc = Cmc.IMAGE, advance: Callable[[int], object] = lambda queries: None
) -> Ranking:
    """The places of all positives of a trial.

    Args:
        scores: Q x G scores, finite, higher is more similar; its blocks are overwritten.
        trial: persons and drop codes of the Q queries and G gallery entries.
        cmc: what CMC counts over.
        advance: called with the number of queries done after each block, for a progress bar.

    Raises:
        ValueError: the scores' shape is not the trial's.
    """
    size = (trial.query_person.size, trial.gallery_person.size)
    if scores.shape != size:
        raise ValueError(f"scores are {scores.shape}, the trial is {size}")
    people, dropped = _Groups(trial.gallery_person), _Groups(trial.gallery_drop)
    places: list[Ints] = []
    counts = np.zeros(size[0], dtype=np.int64)
    cmc_place = np.zeros(size[0], dtype=np.int64)
    for start, block in scores.blocks():
        here = slice(start, start + len(block))
        block[dropped.members(trial.query_drop[here])] = -np.inf
        queries, entries = _positives(people, trial, here)
        found = _places(block, queries, entries)
        places.append(found)
        counts[here] = np.bincount(queries, minlength=len(block))
        if cmc is Cmc.IMAGE:
            answered, first = np.unique(queries, return_index=True)
            cmc_place[start + answered] = found[first]
        else:
            cmc_place[here] = _identity_places(block, queries, entries, trial.gallery_person)
        advance(len(block))
    return Ranking(np.concatenate([*places, np.empty(0, dtype=np.int64)]), starting(counts), cmc_place)


class _Groups:
    """Gallery entries by code; entries of code -1 are in no group."""

    def __init__(self, codes: Ints) -> None:
        self._order = np.argsort(codes, kind="stable")
        self._bounds = np.searchsorted(codes[self._order], np.arange(codes.max(initial=-1) + 2))

    def members(self, codes: Ints) -> tuple[Ints, Ints]:
        """For queries with these codes [b], all (query, entry) pairs of equal codes: two arrays, query by query."""
        known = (codes >= 0) & (codes + 1 < self._bounds.size)
        safe = np.where(known, codes, 0)
        starts, stops = self._bounds[safe], self._bounds[np.minimum(safe + 1, self._bounds.size - 1)]
        counts = np.where(known, stops - starts, 0)
        return np.repeat(np.arange(codes.size), counts), self._order[ranges(starts, counts)]


def _positives(people: _Groups, trial: Trial, rows: slice) -> tuple[Ints, Ints]:
    """(query, entry) pairs of one person that count, query by query; queries are numbered from the slice's start."""
    queries, entries = people.members(trial.query_person[rows])
    drop = trial.gallery_drop[entries]
    counted = (drop < 0) | (drop != trial.query_drop[rows][queries])
    return queries[counted], entries[counted]


def _places(block: Floats, queries: Ints, entries: Ints) -> Ints:
    """Places [P] of a block's positives, ascending within each query; equal scores by index.

    Args:
        block: [b, G] scores; entries that do not count are -inf.
        queries, entries: [P] row and column of each positive, query by query.
    """
    if queries.size == 0:
        return np.empty(0, dtype=np.int64)
    wanted = block[queries, entries]
    # The next larger float turns "how many are <= x" into "how many are < y": one search finds both ends of a tie.
    needles = np.stack([wanted, np.nextafter(wanted, np.float32(np.inf))], axis=1).ravel()
    found = np.empty(needles.size, dtype=np.int64)
    sizes = np.zeros(len(block), dtype=np.int64)
    answered, first = np.unique(queries, return_index=True)
    worst = np.minimum.reduceat(wanted, first)
    # Only what scores at least `worst` can be ahead of a positive. Where a look at a few entries says that this is the
    # better part of the row, sorting all of it costs less than picking.
    sample = block[answered, : min(_SAMPLE, block.shape[1])]
    mostly = np.count_nonzero(sample >= worst[:, None], axis=1) > sample.shape[1] / 3
    bounds = np.append(2 * first, needles.size).tolist()
    for i, query in enumerate(answered.tolist()):
        row = block[query]
        ahead = row.copy() if mostly[i] else row.take((row >= worst[i]).nonzero()[0])
        ahead.sort()
        sizes[query] = ahead.size
        found[bounds[i] : bounds[i + 1]] = ahead.searchsorted(needles[bounds[i] : bounds[i + 1]])
    below, upto = found.reshape(-1, 2).T
    places = sizes[queries] - upto + 1
    for tie in np.flatnonzero(upto - below > 1):
        places[tie] += np.count_nonzero(block[queries[tie], : entries[tie]] == wanted[tie])
    return places[np.lexsort((places, queries))]


def _identity_places(block: Floats, queries: Ints, entries: Ints, people: Ints) -> Ints:
    """[b] place of the right person when everybody stands at the place of their best entry; 0 without a positive.

    As in SYSU-MM01's `get_cmc_multi_trials`: CMC over the unique ids of the ranking.
    """
    places = np.zeros(len(block), dtype=np.int64)
    answered, first = np.unique(queries, return_index=True)
    for query, begin, end in zip(answered, first, np.append(first[1:], queries.size)[: first.size], strict=True):
        row, mine = block[query], entries[begin:end]
        best = mine[np.argmax(row[mine])]
        before = row > row[best]
        before[:best] |= row[:best] == row[best]
        places[query] = np.unique(people[before]).size + 1
    return places
