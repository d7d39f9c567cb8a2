"""The rows in SQLite: written, read, deleted and listed by change. Everything here runs in a transaction of the caller.

Checksums are CRC-32. A row's is over all that is stored of it, an embedding's begins with the row's id, so that
embeddings that changed places are found as well.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_runtime.gallery.database import Database
from edge_runtime.gallery.row import UNKNOWN, Change, Filter, Floats, Row, check_embeddings, check_row
from reid.errors import UserError
from reid.modality import Modality

STORED = "id, person, camera, modality, time, metadata, vector_crc, crop_crc, seq, crc"
FEW = 500
"""Ids in one statement."""


@dataclass(frozen=True)
class State:
    """The one row of table `gallery`; attributes as in `schema.TABLES`."""

    name: str
    space_id: str
    dim: int
    rows: int
    seq: int
    pruned: int
    spaces: int


def state(database: Database) -> State:
    """What the gallery says of itself.

    Raises:
        UserError: it says nothing, which only damage can bring about.
    """
    found = database.one("SELECT name, space_id, dim, rows, seq, pruned, spaces FROM gallery")
    if found is None:
        raise UserError(f"{database.path}: the file lacks its description; it is damaged; use a backup")
    return State(*found)


def vector_crc(row_id: int, embedding: bytes) -> int:
    """Checksum of a row's embedding."""
    return zlib.crc32(embedding, row_id & 0xFFFFFFFF)


def row_crc(stored: Sequence[object]) -> int:
    """Checksum of the columns `STORED` but the last."""
    return zlib.crc32(json.dumps(list(stored), ensure_ascii=True).encode())


def insert(database: Database, rows: list[Row], dim: int) -> list[int]:
    """Put rows in; their ids, ascending.

    Raises:
        UserError: a row cannot be stored; none is.
    """
    vectors = check_embeddings(rows, dim)
    checked = [check_row(place, row) for place, row in enumerate(rows)]
    last = database.one("SELECT seq FROM sqlite_sequence WHERE name = 'row'")
    first, seq = (last[0] if last else 0) + 1, _count(database, rows=len(rows), changes=len(rows))
    ids = range(first, first + len(rows))
    blobs = [vector.tobytes() for vector in vectors]
    crops = [values[-1] for values in checked]
    records = []
    for place, (row_id, blob, crop, values) in enumerate(zip(ids, blobs, crops, checked, strict=True)):
        crop_crc = None if crop is None else zlib.crc32(crop)
        stored = (row_id, *values[:-1], vector_crc(row_id, blob), crop_crc, seq + place)
        records.append((*stored, row_crc(stored), seq + place))
    database.many(f"INSERT INTO row ({STORED}, born) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", records)
    database.many("INSERT INTO vector VALUES (?, ?)", zip(ids, blobs, strict=True))
    database.many("INSERT INTO crop VALUES (?, ?)", [(i, c) for i, c in zip(ids, crops, strict=True) if c is not None])
    return list(ids)


def delete(database: Database, ids: Sequence[int]) -> None:
    """Take rows away, all of which must be there, and leave their tombstones."""
    if ids:
        seq = _count(database, rows=-len(ids), changes=len(ids))
        for table in ("row", "vector", "crop"):
            database.many(f"DELETE FROM {table} WHERE id = ?", [(i,) for i in ids])
        database.many("INSERT INTO tombstone VALUES (?, ?)", enumerate(ids, seq))


def relabel(database: Database, ids: Sequence[int], person: str | None) -> None:
    """Say whose rows these are; all of them must be there."""
    if ids:
        seq = _count(database, rows=0, changes=len(ids))
        rewrite(database, [(*r[:1], person, *r[2:-2], new) for new, r in enumerate(_stored(database, ids), seq)])


def rewrite(database: Database, stored: list[tuple[Any, ...]]) -> None:
    """Replace rows by the columns `STORED` but the last, which is computed here."""
    columns = ", ".join(f"{name} = ?" for name in STORED.split(", "))
    database.many(f"UPDATE row SET {columns} WHERE id = ?", [(*r, row_crc(r), r[0]) for r in stored])


def replace_vectors(database: Database, ids: Sequence[int], vectors: Floats) -> None:
    """Give rows new embeddings [n, k]; all of them must be there."""
    blobs = {i: v.tobytes() for i, v in zip(ids, vectors.astype("<f4"), strict=True)}
    seq = _count(database, rows=0, changes=len(ids))
    database.many("UPDATE vector SET embedding = ? WHERE id = ?", [(blob, i) for i, blob in blobs.items()])
    old = _stored(database, ids)
    rewrite(database, [(*r[:6], vector_crc(r[0], blobs[r[0]]), r[7], new) for new, r in enumerate(old, seq)])


def present(database: Database, ids: Iterable[int]) -> list[int]:
    """Those of the ids that are there, ascending."""
    sql = "SELECT id FROM row WHERE id IN (SELECT value FROM json_each(?))"
    return sorted(i for part in _parts(list(ids)) for (i,) in database.all(sql, [json.dumps(part)]))


def rows_of(database: Database, persons: Iterable[str]) -> list[int]:
    """Ids of the rows of people, ascending.

    Raises:
        UserError: one of them has none.
    """
    found: list[int] = []
    for person in persons:
        theirs = matching(database, Filter(persons=(person,)))
        if not theirs:
            hint = "; unknown rows are named by their ids" if person == UNKNOWN else ""
            raise UserError(f"{database.path}: has no person '{person}'{hint}; nothing was changed")
        found += theirs
    return sorted(found)


def matching(database: Database, where: Filter) -> list[int]:
    """Ids of the rows that meet the conditions, ascending."""
    tests: list[str] = []
    values: list[object] = []

    def among(column: str, names: Iterable[object] | None, how: str = "IN") -> None:
        if names is not None:
            tests.append(f"{column} {how} (SELECT value FROM json_each(?))")
            values.append(json.dumps([str(name) for name in names]))

    among("person", where.persons)
    among("camera", where.cameras)
    among("modality", where.modalities)
    if where.not_cameras is not None:
        among("coalesce(camera, '')", where.not_cameras, "NOT IN")
    for bound, test in ((where.since, "time >= ?"), (where.until, "time < ?")):
        if bound is not None:
            tests.append(test)
            values.append(bound)
    if where.known is not None:
        tests.append(f"person IS {'NOT ' if where.known else ''}NULL")
    return [i for (i,) in database.all(f"SELECT id FROM row WHERE {' AND '.join(tests) or '1'} ORDER BY id", values)]


def read(database: Database, ids: Sequence[int], *, crops: bool = True) -> dict[int, Row]:
    """The rows that are there, by id.

    Raises:
        UserError: what is stored of one is not what was written.
    """
    found: dict[int, Row] = {}
    jpeg = "crop.jpeg" if crops else "NULL"
    for part in _parts(ids):
        for row_id, person, camera, modality, time, metadata, crc, blob, crop in database.all(
            f"SELECT row.id, person, camera, modality, time, metadata, vector_crc, embedding, {jpeg} FROM row "
            "LEFT JOIN vector ON vector.id = row.id LEFT JOIN crop ON crop.id = row.id "
            "WHERE row.id IN (SELECT value FROM json_each(?))",
            [json.dumps(part)],
        ):
            try:
                if vector_crc(row_id, blob) != crc:
                    raise ValueError("the embedding does not match its checksum")
                found[row_id] = Row(
                    np.frombuffer(blob, "<f4").astype(np.float32),
                    person,
                    camera,
                    Modality(modality),
                    time,
                    crop,
                    json.loads(metadata),
                    row_id,
                )
            except (ValueError, TypeError) as error:
                raise UserError(
                    f"{database.path}: row {row_id} is damaged ({error}); delete it or use a backup"
                ) from error
    return found


def changes(
    database: Database, since: int, limit: int, *, crops: bool = True, has_watermark: bool = False
) -> list[Change]:
    """The first `limit` changes after `since`, in order.

    Who had a watermark before they read the first change has `has_watermark`: tombstones that are gone were then those
    of rows that they never saw, even while they have not come past them yet.

    Raises:
        UserError: rows were deleted since and their tombstones are gone.
    """
    if 0 < since < state(database).pruned and not has_watermark:
        raise UserError(
            f"{database.path}: the log of changes no longer reaches back to {since}; empty the copy and begin at 0"
        )
    rows = database.all("SELECT seq, id, born FROM row WHERE seq > ? ORDER BY seq LIMIT ?", [since, limit])
    gone = database.all("SELECT seq, id, NULL FROM tombstone WHERE seq > ? ORDER BY seq LIMIT ?", [since, limit])
    first = sorted(rows + gone)[:limit]
    content = read(database, [row_id for _, row_id, born in first if born is not None], crops=crops)
    found = []
    for seq, row_id, born in first:
        kind = "delete" if born is None else "insert" if born > since else "update"
        found.append(Change(seq, row_id, kind, content.get(row_id)))
    return found


def prune(database: Database) -> int:
    """Take away the tombstones that every watermark has passed (all, if there is none); how many."""
    lowest = database.one("SELECT coalesce(min(seq), (SELECT seq FROM gallery)) FROM watermark")[0]
    count, last = database.one("SELECT count(*), max(seq) FROM tombstone WHERE seq <= ?", [lowest])
    if count:
        database.run("DELETE FROM tombstone WHERE seq <= ?", [lowest])
        database.run("UPDATE gallery SET pruned = ?", [last])
    return int(count)


def vectors_of(database: Database, ids: Sequence[int]) -> Iterator[list[tuple[int, bytes]]]:
    """Stored (id, embedding) of the rows that have one, unchecked, in parts."""
    for part in _parts(ids):
        yield database.all(
            "SELECT id, embedding FROM vector WHERE id IN (SELECT value FROM json_each(?))", [json.dumps(part)]
        )


def _count(database: Database, *, rows: int, changes: int) -> int:
    """Count rows and changes; the number of the first of these changes."""
    database.run("UPDATE gallery SET rows = rows + ?, seq = seq + ?", [rows, changes])
    return int(database.one("SELECT seq FROM gallery")[0]) - changes + 1


def _stored(database: Database, ids: Sequence[int]) -> list[tuple[Any, ...]]:
    """Columns `STORED` of rows, by id."""
    found: list[tuple[Any, ...]] = []
    for part in _parts(ids):
        sql = f"SELECT {STORED} FROM row WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"
        found += database.all(sql, [json.dumps(part)])
    return found


def _parts(ids: Sequence[int]) -> Iterator[list[int]]:
    for start in range(0, len(ids), FEW):
        yield [int(i) for i in ids[start : start + FEW]]
