"""k-reciprocal re-ranking as a stream of scores."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from reid.errors import UserError
from reid.progress import progress_bar
from reid.ragged import starting
from reid.rerank.encoding import Distances, encode, expand_queries
from reid.rerank.neighbours import nearest
from reid.similarity import BLOCK_BYTES, Floats, block_rows

_CELLS = 2**18
"""Compared entries of V plus scores they are added to, at once: what stays in a core's cache."""

_DENSE = 8
"""A scattered score costs as much as this many in a row."""


class ReRanked:
    """Scores of queries against a gallery, re-ranked by k-reciprocal encoding; a `reid.similarity.ScoreBlocks`.

    The score is -(1 - lambda_) * Jaccard distance - lambda_ * d (eq. 12), where both sides' neighbours are searched
    among queries and gallery together. It equals the dense formulation to float32 rounding, with memory in proportion
    to the number of images.

    Ties: of equally similar images the one with the lower number is nearer, queries counted before the gallery. Where
    two similarities differ by rounding alone, another library's product may order them the other way.

    Args:
        query: [Q, D] float32, rows of length 1 (see `reid.similarity.normalise`).
        gallery: [G, D] float32, rows of length 1.
        k1: size of the neighbourhoods whose overlap is measured. There are only Q + G images: a larger k1 takes all.
        k2: images whose encodings are averaged; 1 averages nothing. A larger one than Q + G takes all.
        lambda_: weight of the original distance; 0 is the Jaccard distance alone, 1 the original order.
        squared_twice: square the squared distances again before they are scaled. torchreid hands squared distances to
            code that expects plain ones; many papers' numbers come from it. Neighbours are the same, weights are not.
        block_bytes: how much memory one block of scores may take.
        progress: bars over whatever takes more than two seconds.

    Raises:
        UserError: the widths differ; k1 or k2 is below 1; lambda_ is outside 0 to 1.
        ValueError: rows are not of length 1.

    Source: Zhong et al., CVPR 2017, arXiv 1701.08398.
    """

    def __init__(
        self,
        query: Floats,
        gallery: Floats,
        *,
        k1: int = 20,
        k2: int = 6,
        lambda_: float = 0.3,
        squared_twice: bool = False,
        block_bytes: int = BLOCK_BYTES,
        progress: bool = False,
    ) -> None:
        _check(query, gallery, k1, k2, lambda_)
        self._features = np.concatenate([query, gallery])
        self._queries, self._lambda = len(query), np.float32(lambda_)
        self._progress = progress
        n = len(self._features)
        near = nearest(self._features, min(max(k1 + 1, k2), n), progress=progress)
        self._distances = Distances(near.least, power=2 if squared_twice else 1)
        encoded = encode(self._features, near, k1, self._distances, progress=progress)
        self._encoded = expand_queries(encoded, near, k2)
        self._described = self._encoded.transposed(self._queries, n)
        self._rows = block_rows(len(query), len(gallery), block_bytes)

    @property
    def shape(self) -> tuple[int, int]:
        """(Q, G)."""
        return self._queries, len(self._features) - self._queries

    def blocks(self) -> Iterator[tuple[int, Floats]]:
        """(first query, scores [b, G]), float32; every block reuses the same memory."""
        queries, entries = self.shape
        room = np.empty((self._rows, entries), dtype=np.float32)
        starts = range(0, queries, self._rows)
        for start in progress_bar(starts, what="re-ranking", unit="blocks", shown=self._progress):
            rows = slice(start, min(start + self._rows, queries))
            scores = room[: rows.stop - start]
            np.matmul(self._features[rows], self._features[queries:].T, out=scores)
            self._distances.of_rows(rows, scores)
            scores *= -self._lambda
            scores -= 1 - self._lambda
            for few in self._batches(rows):
                self._add_jaccard(few, scores[few.start - start : few.stop - start])
            yield start, scores

    def _add_jaccard(self, rows: slice, scores: Floats) -> None:
        """Add (1 - lambda) m / (2 - m) to the scores [b, G] of these queries; m = sum_c min(V_qc, V_gc), eq. 10.

        Rows of V sum to 1, so m / (2 - m) is the Jaccard similarity sum min / sum max.
        """
        mine = slice(self._encoded.offsets[rows.start], self._encoded.offsets[rows.stop])
        at, counts = self._described.entries(self._encoded.columns[mine])
        lengths = np.diff(self._encoded.offsets[rows.start : rows.stop + 1])
        first = np.repeat(np.arange(len(scores)) * scores.shape[1], lengths)
        cells = np.repeat(first, counts) + self._described.columns[at]
        smaller = np.minimum(np.repeat(self._encoded.values[mine], counts), self._described.values[at])
        overlap = np.bincount(cells, weights=smaller, minlength=scores.size)
        flat = scores.reshape(-1)
        if _DENSE * cells.size > scores.size:
            flat += self._jaccard(overlap.astype(np.float32))
        else:
            # A cell that is reached several times gets the same value as often: all are read before any is written.
            flat[cells] = flat[cells] + self._jaccard(overlap[cells].astype(np.float32))

    def _jaccard(self, overlap: Floats) -> Floats:
        """(1 - lambda) m / (2 - m), in place."""
        overlap /= 2 - overlap
        overlap *= 1 - self._lambda
        return overlap

    def _batches(self, rows: slice) -> Iterator[slice]:
        """Cut queries into runs, of one at least, that stay within `_CELLS` compared entries and touched scores."""
        offsets = self._encoded.offsets[rows.start : rows.stop + 1]
        columns = self._encoded.columns[offsets[0] : offsets[-1]]
        work = starting(np.diff(self._described.offsets)[columns])[offsets - offsets[0]]
        work += self.shape[1] * np.arange(work.size)
        begin = 0
        while begin + 1 < work.size:
            end = max(begin + 1, int(np.searchsorted(work, work[begin] + _CELLS, side="right")) - 1)
            yield slice(rows.start + begin, rows.start + end)
            begin = end


def _check(query: Floats, gallery: Floats, k1: int, k2: int, lambda_: float) -> None:
    if query.ndim != 2 or gallery.ndim != 2 or query.shape[1] != gallery.shape[1]:
        raise UserError(
            f"re-ranking: queries are {query.shape}, the gallery {gallery.shape}; expected [Q, D] and [G, D]"
        )
    for name, value in (("k1", k1), ("k2", k2)):
        if value < 1:
            raise UserError(f"re-ranking: {name} is {value}; expected a number of images, 1 or more")
    if not 0 <= lambda_ <= 1:
        raise UserError(f"re-ranking: lambda is {lambda_}; expected a weight from 0 to 1")
    for name, rows in (("queries", query), ("gallery", gallery)):
        lengths = np.einsum("ij,ij->i", rows, rows)
        if not np.allclose(lengths, 1, atol=1e-3):
            raise ValueError(f"re-ranking: {name} are not of length 1")
