"""Rows of a sparse matrix as three plain arrays, and the two sorts that build and turn them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reid.ragged import ranges, starting
from reid.similarity import Floats

Ints = NDArray[np.int32]
Offsets = NDArray[np.int64]


@dataclass(frozen=True)
class SparseRows:
    """A matrix with few entries per row (CSR); columns ascend within a row.

    Attributes:
        offsets: [n + 1] int64 where each row's entries start.
        columns: [entries] int32.
        values: [entries] float32.
    """

    offsets: Offsets
    columns: Ints
    values: Floats

    def entries(self, rows: NDArray[np.integer]) -> tuple[NDArray[np.int64], Offsets]:
        """Where the entries of these rows lie, row after row, and how many each row has."""
        starts = self.offsets[rows]
        counts = self.offsets[rows + 1] - starts
        return ranges(starts, counts), counts

    def transposed(self, first: int, columns: int) -> SparseRows:
        """The rows from `first` on, transposed: row c lists, ascending, which of them have an entry in column c."""
        begin = int(self.offsets[first])
        lengths = np.diff(self.offsets[first:])
        # One int64 per entry, column above position: sorting numbers is much faster than sorting their indices.
        keys = self.columns[begin:].astype(np.int64) << 32
        keys |= np.arange(keys.size)
        keys.sort()
        order = keys & 0xFFFFFFFF
        rows = np.repeat(np.arange(lengths.size, dtype=np.int32), lengths)
        counts = np.bincount(self.columns[begin:], minlength=columns)
        return SparseRows(starting(counts), rows[order], self.values[begin:][order])


def row_sums(values: Floats, counts: NDArray[np.int64]) -> Floats:
    """[n] sums of consecutive rows with `counts` entries; 0 for an empty row."""
    filled = counts > 0
    sums = np.zeros(counts.size, dtype=np.float32)
    sums[filled] = np.add.reduceat(values, (np.cumsum(counts) - counts)[filled]) if values.size else 0
    return sums


def stack(blocks: Iterable[tuple[NDArray[np.int64], Ints, Floats]]) -> SparseRows:
    """Consecutive blocks of rows, each as (entries per row, columns, values)."""
    counts, columns, values = zip(*blocks, strict=True)
    return SparseRows(starting(np.concatenate(counts)), np.concatenate(columns), np.concatenate(values))
