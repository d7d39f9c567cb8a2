"""Exact top-k over the table's vectors: faiss where it is installed, else NumPy.

The vectors stay in the table's own array; faiss reads them there. No approximate index: under a filter on camera and
time HNSW finds half of what it should.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any, Protocol

import numpy as np

from edge_runtime.gallery.row import Floats
from edge_runtime.gallery.table import Bools, Ints, Moves, Table

Found = tuple[Floats, Ints]
"""Scores [q, m] and places [q, m]; the place is -1 where there was nothing more. In no particular order."""

_GATHER = 64
"""Rows are copied out and multiplied where fewer than 1 in this many match."""
_BLOCK = 1 << 15
"""Rows of a block of scores."""


class Scan(Protocol):
    """How the best rows are found. The caller holds the lock."""

    name: str
    note: str

    def appended(self, table: Table) -> None:
        """Rows were added at the end."""

    def moved(self, table: Table, moves: Moves) -> None:
        """Rows were taken away, and others moved into their places."""

    def top(self, table: Table, queries: Floats, k: int, mask: Bools | None) -> Found:
        """The best k rows, or as many as match, of each query [q, dim] by inner product."""


class NumpyScan:
    """A matrix product and a partition. Few matching rows are gathered first: masking a whole scan would double it."""

    name = "numpy"

    def __init__(self, note: str = "") -> None:
        self.note = note

    def appended(self, table: Table) -> None:
        """Nothing is kept."""

    def moved(self, table: Table, moves: Moves) -> None:
        """Nothing is kept."""

    def top(self, table: Table, queries: Floats, k: int, mask: Bools | None) -> Found:
        """As in `Scan`."""
        return top_of_blocks(_products(table.vectors, queries, mask), len(queries), k)


class FaissScan:
    """faiss's exhaustive inner product on the table's own array.

    A selector makes each row a third dearer. Where most rows match, more than k are taken without one and the others
    dropped; it is exact where k are left, and done again with the selector where not.
    """

    name = "faiss"

    def __init__(self) -> None:
        self.note = ""

    def appended(self, table: Table) -> None:
        """Nothing is kept."""

    def moved(self, table: Table, moves: Moves) -> None:
        """Nothing is kept."""

    def top(self, table: Table, queries: Floats, k: int, mask: Bools | None) -> Found:
        """As in `Scan`."""
        matches = table.rows if mask is None else int(np.count_nonzero(mask))
        k = min(k, matches)
        if k == 0:
            return nothing(len(queries))
        if mask is None or matches == table.rows:
            return _faiss_top(table.vectors, queries, k, None)
        if matches * _GATHER < table.rows or 2 * k > matches:
            return top_of_blocks(_products(table.vectors, queries, mask), len(queries), k)
        if 2 * matches < table.rows:
            return _faiss_top(table.vectors, queries, k, mask)
        more = min(table.rows, 32 + 2 * k * table.rows // matches)
        scores, places = _faiss_top(table.vectors, queries, more, None)
        dropped = ~mask[places]
        scores[dropped], places[dropped] = -np.inf, -1
        found = best(scores, places, k)
        again = np.flatnonzero((found[1] < 0).any(axis=1))
        if again.size:
            found[0][again], found[1][again] = _faiss_top(table.vectors, queries[again], k, mask)
        return found


def nothing(queries: int) -> Found:
    """What is found where no row matches."""
    return np.empty((queries, 0), np.float32), np.empty((queries, 0), np.int64)


def best(scores: Floats, places: Ints, k: int) -> Found:
    """The k best of each row [q, m], all if there are fewer."""
    if scores.shape[1] <= k:
        return scores, places
    chosen = np.argpartition(scores, scores.shape[1] - k, axis=1)[:, -k:]
    return np.take_along_axis(scores, chosen, 1), np.take_along_axis(places, chosen, 1)


def top_of_blocks(blocks: Iterator[tuple[Ints, Floats]], queries: int, k: int) -> Found:
    """The k best over blocks of (places [b], scores [q, b])."""
    kept = nothing(queries)
    for places, scores in blocks:
        mine = best(scores, np.broadcast_to(places, scores.shape), k)
        kept = best(np.concatenate([kept[0], mine[0]], 1), np.concatenate([kept[1], mine[1]], 1), k)
    return kept


def rescore(table: Table, queries: Floats, candidates: Ints, k: int) -> Found:
    """The k best of each query's candidates [q, m] (-1: none) by their exact inner product."""
    scores = np.full(candidates.shape, -np.inf, np.float32)
    for query, places, row in zip(queries, candidates, scores, strict=True):
        there = places >= 0
        row[there] = table.vectors[places[there]] @ query
    return best(scores, candidates, k)


def chosen_rows(rows: int, mask: Bools | None) -> Iterator[Ints]:
    """Places of the rows that match, in blocks."""
    places = np.arange(rows) if mask is None else np.flatnonzero(mask)
    for start in range(0, len(places), _BLOCK):
        yield places[start : start + _BLOCK]


def _products(vectors: Floats, queries: Floats, mask: Bools | None) -> Iterator[tuple[Ints, Floats]]:
    """(places [b], scores [q, b]) of the rows that match."""
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK]
        places = np.arange(start, start + len(block))
        if mask is not None:
            here = mask[start : start + _BLOCK]
            places = places[here]
            if not len(places):
                continue
            if 2 * len(places) > len(block):
                # Copying most rows would cost more than multiplying all.
                yield places, (queries @ block.T)[:, here]
                continue
            block = block[here]
        yield places, queries @ block.T


def faiss_module() -> Any:
    """faiss, imported when it is first needed. Its types differ from what it takes."""
    return import_module("faiss")


def _faiss_top(vectors: Floats, queries: Floats, k: int, mask: Bools | None) -> Found:
    """faiss's search of a flat index, on an array that is not its own."""
    faiss = faiss_module()
    scores, places = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
    selector: Any = None
    if mask is not None:
        bits = np.packbits(mask, bitorder="little")  # faiss keeps only its address
        selector = faiss.IDSelectorBitmap(bits)
    queries = np.ascontiguousarray(queries)
    q, v, s, p = (faiss.swig_ptr(array) for array in (queries, vectors, scores, places))
    faiss.knn_inner_product(q, v, vectors.shape[1], len(queries), len(vectors), k, s, p, selector)
    scores[places < 0] = -np.inf
    return scores, places
