"""k-reciprocal features: an image described by the images that it recognises and that recognise it.

Source: Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017 (arXiv 1701.08398),
section 3.2-3.4, with the choices of its published code: k1 + 1 neighbours, the image itself among them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reid.progress import progress_bar
from reid.rerank.neighbours import Neighbours
from reid.rerank.sparse import SparseRows, row_sums, stack
from reid.similarity import Floats

Ints = NDArray[np.int32]
Mask = NDArray[np.bool_]

_ROWS = 256
"""Rows that are encoded at once, at most. Fixed, so that time grows as the number of rows does."""

_NEIGHBOUR_PAIRS = 2**22
"""Pairs of neighbours that are looked at at once; for k beyond 128 it makes the chunks of rows smaller."""

_PAIR_FLOATS = 2**20
"""Numbers that are gathered at once for the similarities of single pairs."""


class Distances:
    """d of the re-ranking, for single pairs or whole rows: a squared distance as a share of the row's largest.

    d(i, j) = (D_ij / max_j D_ij) ** power with D_ij = |x_i - x_j|^2 = 2 - 2 s_ij. A row whose largest D is nothing but
    rounding error (all images alike) has d = 0.

    Args:
        least: [n] similarity s of every row to the row least like it.
        power: 1 for the published formulation, 2 if what enters it is squared already.
    """

    def __init__(self, least: Floats, power: int) -> None:
        largest = 2 - 2 * least
        self._scale: Floats = np.where(largest > 1e-6, 2 / np.maximum(largest, 1e-6), 0).astype(np.float32)
        self._power = power

    def __call__(self, rows: NDArray[np.integer] | slice, similarity: Floats) -> Floats:
        """d [pairs] of pairs with the first image `rows` [pairs] and the given similarities."""
        share = self._scale[rows] * (1 - similarity)
        return share if self._power == 1 else np.square(share, out=share)

    def of_rows(self, rows: slice, similarity: Floats) -> Floats:
        """Turn similarities [rows, m] of consecutive rows into d, in place."""
        scale = self._scale[rows, None]
        similarity *= -scale
        similarity += scale
        return similarity if self._power == 1 else np.square(similarity, out=similarity)


def encode(
    features: Floats, neighbours: Neighbours, k1: int, distances: Distances, *, progress: bool = False
) -> SparseRows:
    """V of eq. 7: over its expanded k-reciprocal neighbours an image has exp(-d), scaled to the sum 1.

    Args:
        features: [n, D] float32, rows of length 1.
        neighbours: the nearest of every row, at least min(k1 + 1, n) of them.
        k1: neighbours that count; R(g, k1) of eq. 3 and, with k1 / 2 (rounded half to even), of eq. 5.
        distances: d.
        progress: a bar, if it takes more than two seconds.

    Returns:
        [n, n] sparse. A row is empty if an image is not among its own nearest, which takes more than k1 duplicates.
    """
    near = min(k1, neighbours.index.shape[1] - 1) + 1
    half = min(round(k1 / 2) + 1, near)
    n = len(features)
    index, short = neighbours.index[:, :near], neighbours.index[:, :half]
    mutual = np.concatenate([_reciprocal(short, rows) for rows in _chunks(n, half)])
    chunks = _chunks(n, near)
    # 1 + the place of an image in a row's list, negative if it is not reciprocal; 0 if it is not in the list.
    room = np.zeros((chunks[0].stop, n), dtype=np.int16 if near < 2**15 else np.int32)

    def block(rows: slice) -> tuple[NDArray[np.int64], Ints, Floats]:
        reciprocal = _reciprocal(index, rows)
        place = room[: len(reciprocal)]
        places = np.where(reciprocal, 1, -1) * np.arange(1, near + 1)
        np.put_along_axis(place, index[rows], places, axis=1)
        row, column = _expanded(short, mutual, index[rows], reciprocal, place)
        found = place[row, column]
        similarity = neighbours.similarity[rows][row, np.abs(found) - 1]
        far = np.flatnonzero(found == 0)
        similarity[far] = _dot(features, rows.start + row[far], column[far])
        np.put_along_axis(place, index[rows], 0, axis=1)
        weight: Floats = np.exp(-distances(rows.start + row, similarity))
        counts = np.bincount(row, minlength=len(reciprocal))
        weight /= np.repeat(row_sums(weight, counts), counts)
        return counts, column, weight

    return stack(block(rows) for rows in progress_bar(chunks, what="encoding", unit="chunks", shown=progress))


def expand_queries(encoded: SparseRows, neighbours: Neighbours, k2: int) -> SparseRows:
    """Local query expansion, eq. 11: every row becomes the mean of the rows of its k2 nearest images, itself included.

    Args:
        encoded: [n, n] V.
        neighbours: the nearest of every row, at least min(k2, n) of them.
        k2: how many; 1 changes nothing.
    """
    if k2 == 1:
        return encoded
    n = len(neighbours.index)
    near = neighbours.index[:, :k2]

    def block(rows: slice) -> tuple[NDArray[np.int64], Ints, Floats]:
        at, counts = encoded.entries(near[rows].ravel())
        row = np.repeat(np.repeat(np.arange(len(near[rows])), near.shape[1]), counts)
        # Row and column above, the bits of the value below: one fast sort of numbers brings equal columns together.
        keys = (row * n + encoded.columns[at]) << 32
        keys |= encoded.values[at].view(np.int32)
        keys.sort()
        cells = keys >> 32
        starts = np.flatnonzero(np.diff(cells, prepend=-1))
        values = np.add.reduceat(keys.astype(np.uint32).view(np.float32), starts) if starts.size else np.empty(0)
        row, column = np.divmod(cells[starts], n)
        counts = np.bincount(row, minlength=len(near[rows]))
        return counts, column.astype(np.int32), (values / near.shape[1]).astype(np.float32)

    return stack(block(rows) for rows in _chunks(n, max(k2, round(encoded.columns.size / n))))


def _expanded(
    short: Ints, mutual: Mask, index: Ints, reciprocal: Mask, place: NDArray[np.signedinteger]
) -> tuple[NDArray[np.int64], Ints]:
    """R* of eq. 5 for a chunk of rows: the cells (row in the chunk, column), by row, then column.

    A reciprocal neighbour q adds its own reciprocal neighbours R(q, k1 / 2) if more than two thirds of them are
    already among the row's.

    Args:
        short: [n, half] the nearest of all rows.
        mutual: [n, half] which of them are reciprocal.
        index: [b, near] the nearest of the chunk's rows.
        reciprocal: [b, near] which of them are reciprocal.
        place: [b, n] positive where a column is a reciprocal neighbour of the row.
    """
    row, slot = np.nonzero(reciprocal)
    member = index[row, slot]
    candidates, counted = short[member], mutual[member]
    new = place[row[:, None], candidates] <= 0
    size = np.count_nonzero(counted, axis=1)
    shared = np.count_nonzero(counted & ~new, axis=1)
    new &= counted & (3 * shared > 2 * size)[:, None]
    by, which = np.nonzero(new)
    n = place.shape[1]
    cells = np.concatenate([row * n + member, row[by] * n + candidates[by, which]])
    cells.sort()
    row, column = np.divmod(cells[np.flatnonzero(np.diff(cells, prepend=-1))], n)
    return row, column.astype(np.int32)


def _reciprocal(index: Ints, rows: slice) -> Mask:
    """[b, k] whether each of the k nearest of these rows has the row among its own k nearest (eq. 3)."""
    back = index[index[rows]]
    return np.asarray((back == np.arange(rows.start, rows.stop)[:, None, None]).any(axis=2))


def _dot(features: Floats, left: NDArray[np.integer], right: NDArray[np.integer]) -> Floats:
    """Similarities [pairs] of single pairs of rows."""
    step = max(1, _PAIR_FLOATS // features.shape[1])
    parts = [
        np.einsum("ij,ij->i", features[left[i : i + step]], features[right[i : i + step]])
        for i in range(0, left.size, step)
    ]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.float32)


def _chunks(n: int, k: int) -> list[slice]:
    """Consecutive runs of n rows with k neighbours each."""
    rows = max(1, min(_ROWS, _NEIGHBOUR_PAIRS // k**2))
    return [slice(start, min(start + rows, n)) for start in range(0, n, rows)]
