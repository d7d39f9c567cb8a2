"""A copy of the vectors beside the gallery that is faster to read than the database, and is never trusted.

Every vector that is read from it is checked against the checksum that the database keeps of it; what does not match,
or is not there, is read from the database. So a stale, cut, foreign or damaged copy costs time and never an answer.
Rows that are deleted are overwritten in it before the deletion is committed.

Form: magic, width (uint32), number of rows (uint64), ids [n] int64 ascending, vectors [n, dim] float32; little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_runtime.gallery.row import Floats
from reid.artifact import replacing

FROM_ROWS = 100_000
"""Galleries of fewer rows open fast without."""
_HEADER = struct.Struct("<8sIQ")
_MAGIC = b"RGLYVEC1"
_BLOCK = 8192


@dataclass(frozen=True)
class Sidecar:
    """An opened copy: which ids it has, and where."""

    path: Path
    dim: int
    ids: NDArray[np.int64]

    def blocks(self) -> Iterator[tuple[NDArray[np.int64], Floats]]:
        """(ids [b], vectors [b, dim]) in order; ends early where the file does. The next block reuses the memory."""
        room = np.empty((min(_BLOCK, len(self.ids)), self.dim), "<f4")
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset(0))
                for start in range(0, len(self.ids), _BLOCK):
                    ids = self.ids[start : start + _BLOCK]
                    block = room[: len(ids)]
                    if file.readinto(block.reshape(-1).view(np.uint8).data) != block.nbytes:
                        return
                    yield ids, block
        except OSError:
            return

    def scrub(self, ids: NDArray[np.int64]) -> None:
        """Overwrite the vectors of these rows.

        Raises:
            OSError: the file cannot be written.
        """
        at = np.searchsorted(self.ids, ids)
        at = at[at < len(self.ids)]
        at = at[np.isin(self.ids[at], ids)]
        with self.path.open("r+b") as file:
            for place in at.tolist():
                file.seek(self._offset(place))
                file.write(bytes(4 * self.dim))

    def _offset(self, row: int) -> int:
        return _HEADER.size + 8 * len(self.ids) + 4 * self.dim * row


def place_of(gallery: Path) -> Path:
    """Where the copy of a gallery's vectors lies."""
    return gallery.with_name(gallery.name + "-vectors")


def open_sidecar(path: Path, dim: int) -> Sidecar | None:
    """The copy at `path`; None if there is none of this width, or it is none."""
    try:
        with path.open("rb") as file:
            magic, width, rows = _HEADER.unpack(file.read(_HEADER.size))
            if magic != _MAGIC or width != dim or path.stat().st_size != _HEADER.size + rows * (8 + 4 * dim):
                return None
            ids = np.frombuffer(file.read(8 * rows), "<i8").astype(np.int64)
    except (OSError, struct.error, ValueError):
        return None
    if len(ids) != rows or (np.diff(ids) <= 0).any():
        return None
    return Sidecar(path, dim, ids)


def write_sidecar(path: Path, ids: NDArray[np.int64], dim: int, vectors: Callable[[slice], Floats]) -> None:
    """Write the copy, whole or not at all.

    Args:
        path: where.
        ids: [n] ascending.
        dim: width of a vector.
        vectors: gives those of a slice of the ids.

    Raises:
        UserError: it cannot be written.
    """
    with replacing(path) as part, part.open("wb") as file:
        file.write(_HEADER.pack(_MAGIC, dim, len(ids)))
        file.write(ids.astype("<i8").tobytes())
        for start in range(0, len(ids), _BLOCK):
            file.write(np.ascontiguousarray(vectors(slice(start, start + _BLOCK)), "<f4").tobytes())
