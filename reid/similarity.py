"""Scores of queries against a gallery in blocks of rows, so that the whole matrix is never held."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from reid.errors import UserError

Floats = NDArray[np.float32]

BLOCK_BYTES = 128 * 2**20
"""Room for one block of scores, at most."""
BLOCK_ROWS = 512
"""Rows of a block, at most: from here on the matrix product is at its full speed."""


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
        self._rows = block_rows(len(query), len(gallery), block_bytes)

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


def block_rows(queries: int, entries: int, block_bytes: int) -> int:
    """Rows of a block of scores: `BLOCK_ROWS`, or as many as there are queries or as have room."""
    return max(1, min(block_bytes // (4 * max(1, entries)), BLOCK_ROWS, queries))


def normalise(embeddings: NDArray[np.floating], names: Sequence[str] | None = None, *, copy: bool = True) -> Floats:
    """[n, D] embeddings as float32 with every row divided by its L2 norm.

    Args:
        embeddings: any float dtype.
        names: [n] what to call the rows in an error; their numbers, if None.
        copy: False divides in place if the array is float32 and contiguous, for callers that own it.

    Raises:
        UserError: a row is NaN, infinite or zero; the first ones are named.
    """
    rows = np.array(embeddings, dtype=np.float32, order="C", copy=True if copy else None)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    # Squares beyond the range of float32 do not make an embedding unusable.
    for row in np.flatnonzero(~np.isfinite(lengths) | (lengths < 1e-15)):
        lengths[row] = peak = np.abs(rows[row]).max()
        if np.isfinite(peak) and peak > 0:
            rows[row] /= peak
            lengths[row] = np.linalg.norm(rows[row])
    refuse(np.flatnonzero(~np.isfinite(lengths) | (lengths == 0)), len(rows), names)
    rows /= lengths[:, None]
    return rows


def refuse_unusable(embeddings: NDArray[np.floating], names: Sequence[str] | None = None) -> None:
    """Refuse [n, D] embeddings of any float dtype that are NaN, infinite or zero, as `normalise` does.

    Raises:
        UserError: there are such; the first ones are named.
    """
    # The largest absolute value of a row is NaN, infinite or 0 exactly if the row is unusable.
    peak = np.maximum(embeddings.max(axis=1), -embeddings.min(axis=1))
    refuse(np.flatnonzero(~np.isfinite(peak) | (peak == 0)), len(embeddings), names)


def refuse(bad: NDArray[np.int64], total: int, names: Sequence[str] | None) -> None:
    """Raise a UserError that names the first of the `bad` rows, if there are any."""
    if bad.size:
        named = ", ".join(f"row {row}" if names is None else names[row] for row in bad[:3].tolist())
        more = ", ..." if bad.size > 3 else ""
        raise UserError(
            f"{bad.size} of {total} embeddings are NaN, infinite or zero: {named}{more}; the model is broken there"
        )
