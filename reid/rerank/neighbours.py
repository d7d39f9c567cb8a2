"""The nearest images of every image, from one triangle of the similarity matrix, a tile at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reid.progress import progress_bar
from reid.similarity import Floats

Ints = NDArray[np.int32]
Keys = NDArray[np.int64]

TILE = 2048
"""Rows and columns of a tile: 16 MB of similarities, enough for a full-speed matrix product."""

_STRIP = 64
"""Rows of a tile that are looked at together."""

_GROUPS_PER_NEIGHBOUR = 6
_NOTHING = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Neighbours:
    """The k most similar rows of each of n rows, itself among them; equal similarities by row number.

    Attributes:
        index: [n, k] int32 row numbers, most similar first.
        similarity: [n, k] float32 their cosine similarities.
        least: [n] float32 similarity to the least similar of all n rows.
    """

    index: Ints
    similarity: Floats
    least: Floats


def nearest(features: Floats, k: int, *, tile: int = TILE, progress: bool = False) -> Neighbours:
    """The k nearest rows of every row by cosine similarity, exactly.

    S is symmetric, so only the tiles on and above its diagonal are computed, and each serves its rows and its columns:
    half the arithmetic of the full product. Beyond the result, memory is a few tiles.

    Args:
        features: [n, D] float32, rows of length 1.
        k: how many, the row itself included; at most n.
        tile: rows and columns of a tile.
        progress: a bar over the tiles, if they take more than two seconds.
    """
    n = len(features)
    best = _Best(n, k)
    least = np.full(n, np.inf, dtype=np.float32)
    room = np.empty(min(tile, n) ** 2, dtype=np.float32)
    for rows, columns in progress_bar(list(_upper_tiles(n, tile)), what="neighbours", unit="tiles", shown=progress):
        height, width = rows.stop - rows.start, columns.stop - columns.start
        scores = room[: height * width].reshape(height, width)
        np.matmul(features[rows], features[columns].T, out=scores)
        mirrored = rows != columns
        floors = best.floor(rows, scores), best.floor(columns, scores.T) if mirrored else None
        for_rows, for_columns = _scan(scores, *floors, least[rows], least[columns])
        best.offer_to_rows(rows, scores, for_rows, columns.start)
        if mirrored:
            best.offer_to_columns(columns, scores, for_columns, rows.start)
    return Neighbours(*best.result(), least)


def _scan(
    scores: Floats, row_floor: Floats, column_floor: Floats | None, row_least: Floats, column_least: Floats
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which entries of a tile are above their row's floor, which above their column's; positions in the flat tile.

    `row_least` and `column_least` are lowered to what is seen; the columns' are left alone if they have no floor. The
    tile is passed over in strips that stay in the cache: reading it is what costs.
    """
    for_rows, for_columns = [], []
    for start in range(0, len(scores), _STRIP):
        strip = scores[start : start + _STRIP]
        here = slice(start, start + len(strip))
        offset = start * scores.shape[1]
        for_rows.append(np.flatnonzero(strip > row_floor[here, None]) + offset)
        np.minimum(row_least[here], strip.min(axis=1), out=row_least[here])
        if column_floor is not None:
            for_columns.append(np.flatnonzero(strip > column_floor) + offset)
            np.minimum(column_least, strip.min(axis=0), out=column_least)
    return np.concatenate(for_rows), np.concatenate(for_columns or for_rows)


def _upper_tiles(n: int, tile: int) -> Iterator[tuple[slice, slice]]:
    """Tiles of the upper triangle in the order in which every row meets its columns from the first to the last."""
    panels = [slice(start, min(start + tile, n)) for start in range(0, n, tile)]
    for i, rows in enumerate(panels):
        for columns in panels[i:]:
            yield rows, columns


class _Best:
    """The k best (similarity, column) of each row so far.

    A pair is one int64 that orders as it should: similarity in the upper half, and in the lower half the column,
    counted down, so that the lower column wins a tie. Columns must come in ascending order: an entry that only equals
    a full row's worst is then behind it and need not be looked at.
    """

    def __init__(self, n: int, k: int) -> None:
        self._k = k
        self._keys: Keys = np.full((n, k), _NOTHING, dtype=np.int64)
        self._floor: Floats = np.full(n, -np.inf, dtype=np.float32)

    def floor(self, rows: slice, scores: Floats) -> Floats:
        """What an entry of `scores` [rows, columns] must be above to be worth an offer."""
        floor = self._floor[rows]
        return np.maximum(floor, _bound(scores, self._k)) if np.isneginf(floor).any() else floor

    def offer_to_rows(self, rows: slice, scores: Floats, chosen: NDArray[np.int64], first: int) -> None:
        """Offer the chosen entries of `scores` [rows, columns] to their rows; the columns count from `first`."""
        row, column = np.divmod(chosen, scores.shape[1])
        self._merge(rows, row, _keys(scores.ravel()[chosen], column + first))

    def offer_to_columns(self, columns: slice, scores: Floats, chosen: NDArray[np.int64], first: int) -> None:
        """Offer the chosen entries of `scores` [rows, columns] to their columns; the rows count from `first`."""
        row, column = np.divmod(chosen, scores.shape[1])
        keys = _keys(scores.ravel()[chosen], row + first)
        order = np.argsort(column.astype(np.uint16), kind="stable")
        self._merge(columns, column[order], keys[order])

    def result(self) -> tuple[Ints, Floats]:
        """Columns and similarities [n, k], best first."""
        keys = np.sort(self._keys, axis=1)[:, ::-1]
        return (~keys).astype(np.uint32).astype(np.int32), _similarity(keys)

    def _merge(self, rows: slice, row: NDArray[np.int64], keys: Keys) -> None:
        """Put `keys` beside what their rows have, and keep the k best; `row` counts from `rows.start`, ascending."""
        if not row.size:
            return
        counts = np.bincount(row)
        active = np.flatnonzero(counts)
        counts = counts[active]
        starts = np.cumsum(counts) - counts
        pool = np.full((active.size, self._k + int(counts.max())), _NOTHING, dtype=np.int64)
        pool[:, : self._k] = self._keys[rows][active]
        slot = np.arange(row.size) - np.repeat(starts, counts) + self._k
        pool[np.repeat(np.arange(active.size), counts), slot] = keys
        pool.sort(axis=1)
        kept = pool[:, -self._k :]
        self._keys[rows][active] = kept
        self._floor[rows][active] = np.where(kept[:, 0] == _NOTHING, -np.inf, _similarity(kept[:, 0]))


def _bound(scores: Floats, k: int) -> Floats:
    """A value [rows] just below something that at least k entries of each row of `scores` reach; -inf if unknown.

    The k-th largest of the maxima of disjoint groups of columns is reached k times. It is nearly the k-th largest of
    all, and far cheaper to find.
    """
    groups = _GROUPS_PER_NEIGHBOUR * k
    deep = scores.shape[1] // groups
    if deep < 2:
        return np.full(len(scores), -np.inf, dtype=np.float32)
    # Groups take every groups-th column: images of one person often stand side by side and shall not share a group.
    maxima = scores[:, : deep * groups].reshape(len(scores), deep, groups).max(axis=1)
    return np.nextafter(np.partition(maxima, groups - k, axis=1)[:, groups - k], np.float32(-np.inf))


def _keys(similarity: Floats, column: NDArray[np.int64]) -> Keys:
    """One int64 per pair that orders by ascending similarity, then by descending column."""
    bits = (similarity + np.float32(0)).view(np.int32).astype(np.int64)  # + 0 turns -0 into 0
    bits ^= (bits >> 31) & 0x7FFFFFFF
    return (bits << 32) | (0xFFFFFFFF - column)


def _similarity(keys: Keys) -> Floats:
    """What `_keys` was made from."""
    bits = (keys >> 32).astype(np.int32)
    bits ^= (bits >> 31) & 0x7FFFFFFF
    return bits.view(np.float32)
