"""A scan of 8-bit codes that proposes candidates, which are then scored exactly."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_runtime.gallery.row import Floats
from edge_runtime.gallery.scan import FaissScan, Found, faiss_module, nothing, rescore
from edge_runtime.gallery.table import Bools, Ints, Moves, Table

FROM_ROWS = 200_000
"""With fewer rows the exact scan is used: it is fast enough and takes less memory."""
RECALL = 0.999
"""Share of the exact best ten that must be found, or the codes are not used."""
_BEST = 10
_SAMPLES = 100
_TRAINING = 1 << 16
_WIDTHS = (4, 16)
"""Candidates for each row that is asked for; the wider choice is taken where the first one misses too much."""
_CLIPPED = 1e-3
_ROUNDING = 1e-6


class EightBitScan:
    """faiss's 8-bit scan with one range for all dimensions, taken from the rows, and exact re-scoring.

    At build the recall of the best ten is measured against the exact scan with rows of the gallery as queries. Where it
    is below `RECALL` the exact scan is used, and `note` says so. It is built anew when the rows have grown by a
    quarter, or when more than 1 in 1000 new rows leave the range.
    """

    name = "sq8"

    def __init__(self) -> None:
        self.note = ""
        self._exact = FaissScan()
        self._codes: Any = None
        self._width = _WIDTHS[0]
        self._built = 0
        self._clipped = 0
        self._range = (0.0, 0.0)

    @property
    def is_used(self) -> bool:
        """Whether codes are scanned, rather than vectors."""
        return self._codes is not None

    def appended(self, table: Table) -> None:
        """Encode the new rows, or all of them where the range no longer fits."""
        if table.rows < FROM_ROWS:
            self._codes, self._built = None, 0
            self.note = f"exact scan: 8-bit codes are used from {FROM_ROWS} rows on, there are {table.rows}"
            return
        if 4 * table.rows > 5 * self._built:
            self._build(table)
        elif self._codes is not None:
            new = table.vectors[self._codes.ntotal :]
            low, high = self._range
            self._clipped += int(np.count_nonzero((new.min(axis=1) < low) | (new.max(axis=1) > high)))
            if self._clipped > _CLIPPED * table.rows:
                self._build(table)
            else:
                self._codes.add(np.ascontiguousarray(new))

    def moved(self, table: Table, moves: Moves) -> None:
        """Move the codes likewise."""
        if self._codes is not None:
            faiss = faiss_module()
            width = self._codes.code_size
            codes = faiss.rev_swig_ptr(self._codes.codes.data(), self._codes.ntotal * width).reshape(-1, width)
            codes[moves.target] = codes[moves.source]
            codes[moves.rows :] = 0
            self._codes.codes.resize(moves.rows * width)
            self._codes.ntotal = moves.rows
            if moves.rows < FROM_ROWS:
                self.appended(table)

    def top(self, table: Table, queries: Floats, k: int, mask: Bools | None) -> Found:
        """As in `Scan`."""
        if self._codes is None:
            return self._exact.top(table, queries, k, mask)
        matches = table.rows if mask is None else int(np.count_nonzero(mask))
        k = min(k, matches)
        wide = self._width * k + 32
        if k == 0 or 4 * wide > matches:
            return self._exact.top(table, queries, k, mask) if k else nothing(len(queries))
        return rescore(table, queries, self._candidates(queries, wide, mask), k)

    def _candidates(self, queries: Floats, wide: int, mask: Bools | None) -> Ints:
        faiss = faiss_module()
        options: Any = None
        if mask is not None:
            bits = np.packbits(mask, bitorder="little")  # faiss keeps only its address
            options = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))
        places: Ints = self._codes.search(np.ascontiguousarray(queries), wide, params=options)[1]
        return places

    def _build(self, table: Table) -> None:
        faiss = faiss_module()
        self._codes = None  # The old codes go before the new ones come.
        self._built, self._clipped, self.note = table.rows, 0, ""
        kind = faiss.ScalarQuantizer.QT_8bit_uniform
        codes = faiss.IndexScalarQuantizer(table.dim, kind, faiss.METRIC_INNER_PRODUCT)
        training = table.vectors[:: max(1, table.rows // _TRAINING)]
        self._range = (float(training.min()), float(training.max()))
        codes.train(np.ascontiguousarray(training))
        codes.add(table.vectors)
        self._codes = codes
        queries = np.ascontiguousarray(table.vectors[:: max(1, table.rows // _SAMPLES)][:_SAMPLES])
        exact = self._exact.top(table, queries, _BEST, None)[0].min(axis=1, keepdims=True)
        for self._width in _WIDTHS:
            found = rescore(table, queries, self._candidates(queries, self._width * _BEST + 32, None), _BEST)[0]
            # Ties count as found: a score is right if it is as good as the last of the exact ones.
            recall = float((found >= exact - _ROUNDING).mean())
            if recall >= RECALL:
                self.note = f"8-bit scan with exact re-scoring: recall@{_BEST} {recall:.4f}"
                return
        self._codes = None
        self.note = f"exact scan: recall@{_BEST} of the 8-bit one is {recall:.4f}, below {RECALL}"
