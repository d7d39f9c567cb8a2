"""Scores of queries against a gallery in blocks of rows, so that the whole matrix is never held."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from reid.errors import UserError

Floats = NDArray[np.float32]

BLOCK_BYTES = 32 * 2**20
"""Room for one block of scores: large enough for a full-speed matrix product, small enough to matter to nobody."""


class ScoreBlocks(Protocol):
    """Q x G scores, higher is more similar, streamed as blocks of rows."""

    @property
    def shape(self) -> tuple[int, int]:
        """(Q, G)."""

    def blocks(self) -> Iterator[tuple[int, Floats]]:
        """(first query, scores [b, G]) in ascending order. The receiver may overwrite a block; it is then forgotten."""


class CosineScores:
    """Cosine similarities of normalised rows.

    Args:
        query: [Q, D] float32, rows of length 1 (see `normalise`).
        gallery: [G, D] float32, rows of length 1.
        block_bytes: how much memory one block of scores may take.

    Raises:
        UserError: the widths differ.
    """

    def __init__(self, query: Floats, gallery: Floats, block_bytes: int = BLOCK_BYTES) -> None:
        if query.shape[1] != gallery.shape[1]:
            raise UserError(f"queries have {query.shape[1]} dimensions, the gallery {gallery.shape[1]}; not one space")
        self._query, self._gallery = query, gallery
        self._rows = int(np.clip(block_bytes // (4 * max(1, len(gallery))), 1, max(1, len(query))))

    @property
    def shape(self) -> tuple[int, int]:
        """(Q, G)."""
        return len(self._query), len(self._gallery)

    def blocks(self) -> Iterator[tuple[int, Floats]]:
        """(first query, scores [b, G]); every block reuses the same memory."""
        scores = np.empty((self._rows, len(self._gallery)), dtype=np.float32)
        for start in range(0, len(self._query), self._rows):
            part = self._query[start : start + self._rows]
            yield start, np.matmul(part, self._gallery.T, out=scores[: len(part)])


def normalise(embeddings: NDArray[np.floating]) -> Floats:
    """A float32 copy of [n, D] embeddings with every row divided by its L2 norm.

    Raises:
        UserError: a row is not finite or has length 0; the first such row numbers are named.
    """
    rows = np.array(embeddings, dtype=np.float32, order="C")
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    # Too long or too short to square in float32: look again.
    for row in np.flatnonzero(~np.isfinite(lengths) | (lengths < 1e-15)):
        lengths[row] = np.linalg.norm(rows[row].astype(np.float64))
    bad = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))
    if bad.size:
        raise UserError(f"{bad.size} embeddings are NaN, infinite or zero, first at rows {bad[:5].tolist()}")
    rows /= lengths[:, None]
    return rows


def unusable_rows(embeddings: NDArray[np.floating]) -> NDArray[np.int64]:
    """Row numbers of [n, D] embeddings that are not finite or have length 0."""
    # The largest absolute value of a row is NaN, infinite or 0 exactly if the row is unusable, in any dtype.
    peak = np.maximum(embeddings.max(axis=1), -embeddings.min(axis=1)) if embeddings.size else np.empty(0)
    return np.flatnonzero(~np.isfinite(peak) | (peak == 0))
