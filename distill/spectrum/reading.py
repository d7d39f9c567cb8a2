"""An embedding store in pieces: a shard at a time, so that memory does not grow with the store."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from reid.embeddings import EmbeddingStore
from reid.progress import progress_bar
from reid.subspace import Floats, Subspace

PIECE_ROWS = 4096


def pieces(
    store: EmbeddingStore, rows: NDArray[np.int64], size: int = PIECE_ROWS
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.floating]]]:
    """(positions in `rows` [n], embeddings as stored [n, D]) until each of `rows` had its turn, in the store's order.

    The store itself keeps every page mapped that was ever read. Here a shard is mapped for as long as its pieces are
    in use, so the resident memory is that of two shards at most. A piece must not be changed.
    """
    import pyarrow as pa

    order = np.argsort(rows, kind="stable")
    ascending = rows[order]
    first = 0
    for name in sorted(name for name in store.manifest.files if name.endswith(".arrow")):
        with pa.memory_map(str(store.path / name)) as source:
            column = pa.ipc.open_file(source).get_batch(0).column("embedding")
        values = column.values.to_numpy(zero_copy_only=True).reshape(-1, store.dim)
        begin, end = np.searchsorted(ascending, (first, first + len(values))).tolist()
        for start in range(begin, end, size):
            part = slice(start, min(start + size, end))
            yield order[part], values[_as_slice(ascending[part] - first)]
        first += len(values)


def coordinates(store: EmbeddingStore, subspace: Subspace, rows: NDArray[np.int64] | None = None) -> Floats:
    """Coordinates [n, k] float32 of a store's rows (all, if None), in that order, read in pieces.

    Raises:
        UserError: the store's embeddings have another width than the subspace, or a row is not usable.
    """
    wanted = np.arange(len(store)) if rows is None else np.asarray(rows, dtype=np.int64)
    out = np.empty((len(wanted), subspace.rank), dtype=np.float32)
    modality = store.table.modality if subspace.by_modality else None
    with progress_bar(what="project", unit="embeddings", total=len(wanted)) as bar:
        for positions, embeddings in pieces(store, wanted):
            mine = None if modality is None else [modality[row] for row in wanted[positions].tolist()]
            out[positions] = subspace.project(embeddings, mine)
            bar.update(len(positions))
    return out


def _as_slice(rows: NDArray[np.int64]) -> slice | NDArray[np.int64]:
    """Neighbours as a slice, which copies nothing."""
    together = len(rows) == int(rows[-1]) - int(rows[0]) + 1 and bool((np.diff(rows) == 1).all())
    return slice(int(rows[0]), int(rows[-1]) + 1) if together else rows
