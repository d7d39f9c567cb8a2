"""The gallery in memory: filled from the database, kept up with it by its log of changes, and searched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np

from edge_runtime.gallery import sidecar, store
from edge_runtime.gallery.centred import Means, centred_top, modality_means
from edge_runtime.gallery.database import Database
from edge_runtime.gallery.eight_bit import EightBitScan
from edge_runtime.gallery.lock import ReadWriteLock
from edge_runtime.gallery.row import Filter, Floats, Hit
from edge_runtime.gallery.scan import FaissScan, NumpyScan, Scan
from edge_runtime.gallery.table import MODALITIES, Ints, Table
from reid.errors import UserError
from reid.modality import Modality

KINDS = ("auto", "faiss", "numpy", "sq8")
_COLUMNS = "SELECT id, vector_crc, time, person, camera, modality FROM row"
_KNOWN = frozenset(m.value for m in MODALITIES)


class Index:
    """Rows in memory, as the database has them: `refresh` before each use.

    Args:
        database: a connection of its own; the commits of every other one, in this process or another, are seen by it.
        kind: "auto" is faiss where installed, else NumPy; "sq8" scans 8-bit codes and scores the best exactly.

    Attributes:
        damaged: ids of rows that are left out because they are not what was written.

    Raises:
        UserError: no such kind, or faiss was asked for and is not there.
    """

    def __init__(self, database: Database, kind: str = "auto") -> None:
        self._database, self._scan = database, choose(kind)
        self._lock = ReadWriteLock()
        self._version: int | None = None
        self._state: store.State | None = None
        self._table = Table(0)
        self._from_sidecar = 0
        self.damaged: set[int] = set()

    @property
    def scan(self) -> Scan:
        """What finds the best rows; its `name` and `note` say how."""
        return self._scan

    def search(
        self,
        queries: Floats,
        k: int,
        where: Filter,
        *,
        vectors: bool = False,
        centre: tuple[Modality, Means] | None = None,
    ) -> tuple[list[list[Hit]], list[Floats]]:
        """The best k rows of each query [q, dim], best first, and their embeddings [k, dim] if asked for."""
        self.refresh()
        with self._lock.reading():
            table = self._table
            mask = table.mask(where)
            if centre is None:
                scores, places = self._scan.top(table, queries, k, mask)
            else:
                scores, places = centred_top(table, queries, k, mask, *centre)
            ranked = [table.ranked(p, s) for p, s in zip(places, scores, strict=True)]
            return [table.hits(*each) for each in ranked], [table.vectors[p] for p, _ in ranked] if vectors else []

    def means(self) -> dict[Modality, Floats]:
        """[dim] mean embedding of each modality."""
        self.refresh()
        with self._lock.reading():
            return modality_means(self._table)

    def refresh(self) -> None:
        """Take over what was committed since the last time, by whomever. Cheap where nothing was.

        Raises:
            UserError: the gallery was given another space, or cannot be read.
        """
        with self._database.lock:
            version = self._database.one("PRAGMA data_version")[0]
            if version == self._version:
                return
            with self._database.reading():
                now = store.state(self._database)
                seen = self._state
                if seen is not None and (now.space_id, now.dim) != (seen.space_id, seen.dim):
                    raise UserError(
                        f"{self._database.path}: holds embeddings of another bundle now ({now.space_id}); open it anew"
                    )
                # If this is interrupted half-way, the next one begins anew.
                self._state = self._version = None
                with self._lock.writing():
                    if seen is None or now.seq < seen.seq or now.pruned > seen.seq or now.spaces != seen.spaces:
                        self._load(now)
                    elif now.seq > seen.seq:
                        self._follow(seen.seq)
                self._state = now
            self._version = version

    def write_sidecar(self, *, only_if_due: bool) -> None:
        """Write the copy of the vectors that makes the next opening fast.

        Args:
            only_if_due: not for a small gallery, and not where the one that is there holds nine in ten rows.

        Raises:
            UserError: it cannot be written.
        """
        with self._lock.reading():
            table, state = self._table, self._state
            due = table.rows >= sidecar.FROM_ROWS and 10 * self._from_sidecar < 9 * table.rows
            if state is None or (only_if_due and not due):
                return
            ids, places = table.sorted()
            path = sidecar.place_of(self._database.path)
            sidecar.write_sidecar(path, ids, table.dim, lambda some: table.vectors[places[some]])

    def _load(self, now: store.State) -> None:
        """Everything, from the database and the sidecar."""
        self._table = Table(now.dim, now.rows + now.rows // 64 + 64)
        self._scan = type(self._scan)() if not isinstance(self._scan, NumpyScan) else self._scan
        self.damaged.clear()
        self._from_sidecar = 0
        self._append(self._database.chunks(f"{_COLUMNS} ORDER BY id"), whole=True)

    def _follow(self, seq: int) -> None:
        """What changed after `seq`."""
        gone = self._database.all("SELECT id FROM tombstone WHERE seq > ?", [seq])
        places = self._table.places(np.array([i for (i,) in gone], np.int64)) if gone else np.empty(0, np.int64)
        if (places >= 0).any():
            self._scan.moved(self._table, self._table.remove(places[places >= 0]))
        self.damaged.difference_update(i for (i,) in gone)
        changed = self._database.all(f"{_COLUMNS} WHERE seq > ? ORDER BY id", [seq])
        old = [row for row in changed if row[0] <= self._table.highest and row[0] not in self.damaged]
        if old:
            places = self._table.places(np.array([row[0] for row in old], np.int64))
            self._table.describe(places, *zip(*[row[3:] for row in old], strict=True))
        new = [row for row in changed if row[0] > self._table.highest and row[0] not in self.damaged]
        self._append(iter([new] if new else []), whole=False)

    def _append(self, chunks: Iterable[list[Any]], *, whole: bool) -> None:
        """Add rows of `_COLUMNS`, then their vectors, then leave out those that have none that fits."""
        table, start = self._table, self._table.rows
        checksums = []
        for rows in chunks:
            # A flipped byte in one row must not keep the others from being read.
            sound = [row for row in rows if row[5] in _KNOWN and isinstance(row[2], float)]
            if len(sound) < len(rows):
                self.damaged.update(row[0] for row in rows if row not in sound)
            if sound:
                ids, crcs, times, persons, cameras, modalities = zip(*sound, strict=True)
                table.append(np.array(ids, np.int64), persons, cameras, modalities, times)
                checksums.append(np.array(crcs, np.int64))
        if not checksums:
            return
        fill = _Fill(table, start, np.concatenate(checksums))
        if whole and (copy := sidecar.open_sidecar(sidecar.place_of(self._database.path), table.dim)):
            for block in copy.blocks():
                fill.take(*block)
            self._from_sidecar = int(np.count_nonzero(fill.filled))
        for stored in self._vectors(fill.missing(), whole):
            fill.take_stored(stored)
        missing = np.flatnonzero(~fill.filled) + start
        if missing.size:
            self.damaged.update(table.column("id")[missing].tolist())
            table.remove(missing)
        self._scan.appended(table)

    def _vectors(self, ids: Ints, whole: bool) -> Iterator[list[tuple[int, bytes]]]:
        """Stored vectors of these rows; in one go through the table where most are wanted."""
        if whole and 2 * len(ids) > self._table.rows:
            sql = "SELECT id, embedding FROM vector WHERE id >= ? ORDER BY id"
            return self._database.chunks(sql, [int(ids[0])], 2048)
        return store.vectors_of(self._database, ids.tolist())


class _Fill:
    """Puts vectors into the rows from `start` on, whose ids ascend, if they fit their checksums."""

    def __init__(self, table: Table, start: int, checksums: Ints) -> None:
        self._ids = table.column("id")[start:]
        self._room = table.vectors[start:]
        self._checksums = checksums
        self.filled = np.zeros(len(self._ids), np.bool_)

    def missing(self) -> Ints:
        """Ids of the rows that have none yet."""
        return np.asarray(self._ids[~self.filled])

    def take(self, ids: Ints, vectors: Floats) -> None:
        """Vectors [b, dim] of these ids, ascending, some of which may be wanted."""
        at = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
        wanted = (self._ids[at] == ids) & ~self.filled[at]
        if not wanted.all():
            at, ids, vectors = at[wanted], ids[wanted], vectors[wanted]
        blobs = vectors.view(np.uint8)
        found = np.fromiter(map(store.vector_crc, ids.tolist(), blobs), np.int64, len(ids))
        right = found == self._checksums[at]
        self._room[at[right]] = vectors[right]
        self.filled[at[right]] = True

    def take_stored(self, stored: list[tuple[int, bytes]]) -> None:
        """The same as the database has them."""
        size = 4 * self._room.shape[1]
        sound = [(i, blob) for i, blob in stored if isinstance(blob, bytes) and len(blob) == size]
        if sound:
            vectors = np.frombuffer(b"".join(blob for _, blob in sound), "<f4").reshape(len(sound), -1)
            self.take(np.array([i for i, _ in sound], np.int64), vectors)


def choose(kind: str) -> Scan:
    """The scan of this name.

    Raises:
        UserError: there is none, or it needs faiss, which is not installed.
    """
    if kind not in KINDS:
        raise UserError(f"--index {kind}: no such index; expected one of {', '.join(KINDS)}")
    has_faiss = find_spec("faiss") is not None
    if kind == "numpy":
        return NumpyScan()
    if not has_faiss and kind == "auto":
        return NumpyScan("faiss is not installed: searched with NumPy; pip install 'reid-distill[edge]' is faster")
    if not has_faiss:
        raise UserError(
            f"--index {kind} needs faiss; install it with: pip install 'reid-distill[edge]', or leave it out"
        )
    return EightBitScan() if kind == "sq8" else FaissScan()
