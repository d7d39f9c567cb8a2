"""The gallery: who was seen, durably, and the exact search over it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import numpy as np

from edge_runtime.gallery import exchange, schema, sidecar, store, upkeep
from edge_runtime.gallery.centred import Means
from edge_runtime.gallery.database import Database
from edge_runtime.gallery.index import Index
from edge_runtime.gallery.row import Change, Filter, Floats, Hit, Person, Row, check_name
from reid.errors import UserError
from reid.modality import Modality
from reid.similarity import normalise

EVERYTHING = Filter()


class Gallery:
    """One SQLite file, which is the only truth, and an index in memory that follows it.

    What a method has done when it returns is on disk: it survives a killed process and a power cut. A method that
    raises has done nothing. One process writes at a time, and others wait for it; any number reads, and sees at its
    next search what was committed before. Safe for several threads. Not for network file systems.

    A rename or a deletion is as durable as an addition. Deleted rows are overwritten in the file and in the copy of the
    vectors beside it.

    Use `Gallery.open`.
    """

    def __init__(self, database: Database, reader: Database, index: str) -> None:
        self.path = database.path
        self._database, self._reader = database, reader
        found = store.state(reader)
        self.space_id, self.dim = found.space_id, found.dim
        self._index = Index(reader, index)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        space_id: str | None = None,
        dim: int | None = None,
        create: bool = True,
        read_only: bool = False,
        index: str = "auto",
        busy_seconds: float = 5.0,
    ) -> Gallery:
        """Open the gallery at `path`. Rows are read into memory at the first search, not here.

        Args:
            path: the SQLite file.
            space_id: of the bundle whose embeddings are stored and searched; None takes the gallery's.
            dim: their width; None takes the gallery's.
            create: make it if it is not there.
            read_only: never write; also works on a read-only disk.
            index: "auto" (faiss where installed, else NumPy), "faiss", "numpy", or "sq8": 8-bit codes with exact
                re-scoring for more than 200,000 rows.
            busy_seconds: how long to wait while another process writes.

        Raises:
            UserError: it is not there, is no gallery, is of a newer version, holds another bundle's embeddings, or
                cannot be read or written.
        """
        path = Path(path)
        if not path.exists() and (read_only or not create):
            raise UserError(f"{path}: no such gallery; enrol into it first or name another")
        database = Database(path, read_only=read_only, busy_seconds=busy_seconds)
        reader: Database | None = None
        try:
            schema.prepare(database, space_id, dim, create=create)
            held = store.state(database)
            if space_id is not None and held.space_id != space_id:
                raise UserError(
                    f"{path}: holds embeddings of bundle space {held.space_id}; this bundle's is {space_id}: "
                    "open it with its own bundle, or re-embed it from its stored crops"
                )
            if dim is not None and held.dim != dim:
                raise UserError(f"{path}: holds embeddings of width {held.dim}; this bundle's have {dim}")
            reader = Database(path, read_only=True, busy_seconds=busy_seconds)
            return cls(database, reader, index)
        except BaseException:
            if reader is not None:
                reader.close()
            database.close()
            raise

    def __enter__(self) -> Gallery:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Where it pays, the copy of the vectors is written first, for the next opening."""
        if not self._database.read_only:
            # Without the copy all works as before, only slower.
            try:
                self._index.write_sidecar(only_if_due=True)
            except UserError:
                sidecar.place_of(self.path).unlink(missing_ok=True)
        self._reader.close()
        self._database.close()

    # ------------------------------------------------------------------------------------------------------ reading

    @property
    def count(self) -> int:
        """How many rows there are."""
        return store.state(self._reader).rows

    @property
    def index(self) -> str:
        """How the rows are searched: "faiss", "numpy" or "sq8"."""
        return self._index.scan.name

    @property
    def notes(self) -> list[str]:
        """What a user should know of the index: what it fell back to, what it left out. Filled by the first search."""
        notes = [self._index.scan.note] if self._index.scan.note else []
        if damaged := sorted(self._index.damaged):
            named = ", ".join(map(str, damaged[:5])) + (", ..." if len(damaged) > 5 else "")
            notes.append(f"{len(damaged)} damaged rows are left out of the search: {named}; verify names what is wrong")
        return notes

    def search(
        self,
        queries: Floats,
        k: int,
        where: Filter = EVERYTHING,
        *,
        centre: tuple[Modality, Means] | None = None,
    ) -> list[list[Hit]]:
        """The k rows most similar to each query by cosine, exactly.

        Args:
            queries: [q, dim] float; they need not be of length 1.
            k: how many, 1 or more; all that match are given if there are fewer.
            where: conditions on the rows.
            centre: the queries' modality and the mean of each modality, to compare centred embeddings; see `centred`.

        Returns:
            [q] hits, best first; of equally similar rows the lower id first.

        Raises:
            UserError: a query is NaN, infinite or zero (it is named), has another width, or k is below 1.
        """
        return self._index.search(self._queries(queries, k), k, where, centre=centre)[0]

    def search_with_vectors(
        self,
        queries: Floats,
        k: int,
        where: Filter = EVERYTHING,
        *,
        centre: tuple[Modality, Means] | None = None,
    ) -> tuple[list[list[Hit]], list[Floats]]:
        """As `search`, and the hits' embeddings: [q] arrays [hits, dim]."""
        return self._index.search(self._queries(queries, k), k, where, vectors=True, centre=centre)

    def means(self) -> dict[Modality, Floats]:
        """[dim] mean embedding of each modality that there is."""
        return self._index.means()

    def rows(self, ids: Sequence[int], *, missing_ok: bool = False, crops: bool = True) -> list[Row]:
        """The rows of these ids, in their order.

        Raises:
            UserError: one is not there (unless `missing_ok`: then it is left out) or damaged.
        """
        found = store.read(self._reader, ids, crops=crops)
        absent = [i for i in ids if i not in found]
        if absent and not missing_ok:
            raise UserError(f"{self.path}: has no row {absent[0]}; was it deleted?")
        return [found[i] for i in ids if i in found]

    def ids(self, where: Filter = EVERYTHING) -> list[int]:
        """Ids of the rows that meet the conditions, ascending, as the database has them."""
        return store.matching(self._reader, where)

    def people(self) -> list[Person]:
        """Everyone in the gallery by name; the unknown rows, if there are any, come last."""
        sql = "SELECT person, count(*), min(time), max(time) FROM row GROUP BY person ORDER BY person IS NULL, person"
        return [Person(*found) for found in self._reader.all(sql)]

    # ------------------------------------------------------------------------------------------------------ writing

    def add(self, rows: Sequence[Row]) -> list[int]:
        """Add rows in one commit; all are on disk when this returns.

        Returns:
            Their ids, ascending; no id is ever given twice.

        Raises:
            UserError: a row cannot be stored (it is named by its place), or the disk refuses; nothing was added.
        """
        if not rows:
            return []
        with self._database.writing():
            return store.insert(self._database, list(rows), self.dim)

    def delete(
        self, ids: Iterable[int] | None = None, *, person: str | None = None, where: Filter | None = None
    ) -> int:
        """Delete the rows of these ids, of this person, or that meet the conditions (name one of the three).

        Returns:
            How many there were; ids that are not there are passed over.
        """
        if (ids is not None) + (person is not None) + (where is not None) != 1:
            raise TypeError("delete: give ids, person or where")
        with self._database.writing():
            if ids is not None:
                doomed = store.present(self._database, ids)
            else:
                conditions = where if where is not None else Filter(persons=(person or "",))
                doomed = store.matching(self._database, conditions)
            self._delete(doomed)
        self._forget(bool(doomed))
        return len(doomed)

    def rename(self, old: str, new: str) -> int:
        """Give a person another id; how many rows that were.

        Raises:
            UserError: there is no such person, or the new id is someone else's.
        """
        check_name(new, "new person id")
        with self._database.writing():
            if new != old and store.matching(self._database, Filter(persons=(new,))):
                raise UserError(f"{self.path}: there is a person '{new}' already; merge '{old}' into them instead")
            return self._relabel([old], new)

    def merge(self, persons: Sequence[str], into: str) -> int:
        """Give several people's rows to one, who need not be there yet; how many rows that were.

        Raises:
            UserError: one of `persons` is not there.
        """
        check_name(into, "person id to merge into")
        with self._database.writing():
            return self._relabel([p for p in dict.fromkeys(persons) if p != into], into)

    def assign(self, ids: Sequence[int], person: str | None) -> None:
        """Say whose rows these are; None makes them unknown.

        Raises:
            UserError: one is not there.
        """
        if person is not None:
            check_name(person, "person id")
        with self._database.writing():
            present = store.present(self._database, ids)
            if absent := sorted(set(ids).difference(present)):
                raise UserError(f"{self.path}: has no row {absent[0]}; nothing was changed")
            store.relabel(self._database, present, person)

    def apply_retention(
        self,
        *,
        keep_days: float | None = None,
        max_rows: int | None = None,
        now: float | None = None,
        where: Filter = EVERYTHING,
    ) -> int:
        """Delete what is too old, then what is too many.

        Args:
            keep_days: delete rows whose time is more than this before `now`.
            max_rows: of the rest keep the ones added last, by id: a clock that went backwards does not matter to it.
            now: seconds since the epoch; the clock's, if None.
            where: only rows that meet these are counted and deleted, such as `Filter(known=False)`.

        Returns:
            How many were deleted.

        Raises:
            UserError: a limit is below 0.
        """
        with self._database.writing():
            now = time.time() if now is None else now
            doomed = upkeep.expired(self._database, keep_days, max_rows, now, where)
            self._delete(doomed)
        self._forget(bool(doomed))
        return len(doomed)

    # -------------------------------------------------------------------------------------------------- the changes

    def changes_since(self, seq: int, limit: int = 1000, *, crops: bool = True) -> list[Change]:
        """The first `limit` changes after number `seq` (0: all), in order; empty if there are none.

        Each row is listed once, at its newest change; what was added and deleted since is only its deletion. So who
        applies them in order by row id, and only then moves their watermark to the last one's `seq`, has each change
        once in effect, however often they are interrupted.

        Raises:
            UserError: rows were deleted after `seq` and no watermark held their tombstones.
        """
        with self._reader.reading():
            return store.changes(self._reader, seq, limit, crops=crops)

    @property
    def last_change(self) -> int:
        """Number of the last change."""
        return store.state(self._reader).seq

    def watermark(self, name: str) -> int:
        """Up to which change `name` has come; 0 if it never said."""
        found = self._reader.one("SELECT seq FROM watermark WHERE name = ?", [name])
        return int(found[0]) if found else 0

    def set_watermark(self, name: str, seq: int) -> None:
        """Say durably that `name` has all changes up to `seq`. Tombstones that someone lacks are kept for them."""
        with self._database.writing():
            self._database.run("INSERT OR REPLACE INTO watermark VALUES (?, ?)", [name, seq])

    def drop_watermark(self, name: str) -> None:
        """Forget that `name` follows the changes, so that no tombstones are kept for it."""
        with self._database.writing():
            self._database.run("DELETE FROM watermark WHERE name = ?", [name])

    def prune(self) -> int:
        """Take away the tombstones that nobody needs any more; how many."""
        with self._database.writing():
            return store.prune(self._database)

    # ------------------------------------------------------------------------------------------------------- upkeep

    def compact(self) -> None:
        """Give the room of deleted rows back to the disk. Needs as much room again while it works."""
        upkeep.compact(self._database)

    def verify(self) -> list[str]:
        """What is wrong, a line each, damaged rows by their ids; empty if nothing is. Reads every byte."""
        return upkeep.verify(self._reader)

    def backup(self, file: Path) -> None:
        """Write all that is committed into one file, which appears whole or not at all; it opens as a gallery.

        Restore it under a new name, or where no `-wal` file of another gallery lies.

        Raises:
            UserError: it cannot be written.
        """
        upkeep.backup(self._reader, Path(file))

    def reembed(self, space_id: str, dim: int, embed: Callable[[list[bytes], Modality], Floats]) -> int:
        """Replace all embeddings by another bundle's, made from the stored crops; others cannot write meanwhile.

        Args:
            space_id, dim: of the other bundle.
            embed: gives [n, dim] float32 rows of length 1 for n JPEGs of one modality.

        Returns:
            How many rows were embedded.

        Raises:
            UserError: rows have no crop (some are named), or an embedding is unusable; nothing was changed.
        """
        rows = upkeep.reembed(self._database, space_id, dim, embed)
        sidecar.place_of(self.path).unlink(missing_ok=True)
        self.space_id, self.dim = space_id, dim
        self._index = Index(self._reader, {"faiss": "faiss", "sq8": "sq8"}.get(self.index, "auto"))
        return rows

    def export_arrow(self, file: Path) -> int:
        """Write all rows as an Arrow IPC file; how many. Needs pyarrow."""
        return exchange.export_arrow(self._reader, Path(file))

    def import_arrow(self, file: Path) -> list[int]:
        """Add the rows of a file of `export_arrow`, all or none; their new ids. Needs pyarrow."""
        return exchange.import_arrow(self._database, Path(file))

    def export_json(self, file: Path) -> int:
        """Write all rows as JSON lines; how many."""
        return exchange.export_json(self._reader, Path(file))

    def import_json(self, file: Path) -> list[int]:
        """Add the rows of a file of `export_json`, all or none; their new ids."""
        return exchange.import_json(self._database, Path(file))

    def write_sidecar(self) -> None:
        """Write the copy of the vectors that makes the next opening of a large gallery fast."""
        self._index.refresh()
        self._index.write_sidecar(only_if_due=False)

    # -------------------------------------------------------------------------------------------------------- parts

    def _queries(self, queries: Floats, k: int) -> Floats:
        if k < 1:
            raise UserError(f"search: k is {k}; expected 1 or more")
        found = np.asarray(queries)
        if found.ndim != 2 or found.shape[1] != self.dim:
            raise UserError(f"search: queries have shape {found.shape}; expected [queries, {self.dim}]")
        return normalise(found, [f"query {i}" for i in range(len(found))])

    def _relabel(self, old: list[str], new: str) -> int:
        ids = store.rows_of(self._database, old)
        store.relabel(self._database, ids, new)
        return len(ids)

    def _delete(self, ids: list[int]) -> None:
        """In a transaction: the copy of the vectors first, for it is not asked whether the commit succeeds."""
        if ids:
            place = sidecar.place_of(self.path)
            copy = sidecar.open_sidecar(place, self.dim)
            try:
                if copy is not None:
                    copy.scrub(np.array(ids, np.int64))
                else:
                    place.unlink(missing_ok=True)
            except OSError:
                place.unlink(missing_ok=True)
            store.delete(self._database, ids)

    def _forget(self, deleted: bool) -> None:
        """Write the log back, which still has what was deleted.

        Where a reader or the disk is in the way it is done later, and the deletion is as durable as without.
        """
        if deleted:
            with suppress(UserError):
                self._database.one("PRAGMA wal_checkpoint(TRUNCATE)")
