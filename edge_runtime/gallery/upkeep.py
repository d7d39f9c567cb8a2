"""Verification, compaction, backup and re-embedding of a gallery's file."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.gallery import store
from edge_runtime.gallery.database import Database, flush
from edge_runtime.gallery.row import LONGEST_DEVIATION, Filter, Floats
from reid.artifact import replacing
from reid.errors import UserError
from reid.modality import Modality

DAY = 86_400.0
_NAMED = 5
_BATCH = 64


def compact(database: Database) -> None:
    """Take away tombstones that nobody needs, rewrite the file without gaps, and write the log back.

    Raises:
        UserError: another process writes, or there is no room; the gallery is as it was.
    """
    with database.writing():
        store.prune(database)
    database.run("VACUUM")
    database.one("PRAGMA wal_checkpoint(TRUNCATE)")


def backup(database: Database, file: Path) -> None:
    """One file with all that is committed; see `Gallery.backup`."""
    if file.exists() and database.path.exists() and file.samefile(database.path):
        raise UserError(f"{file}: is the gallery itself; name another file for the backup")
    with replacing(file) as part:
        part.unlink(missing_ok=True)
        try:
            database.run("VACUUM INTO ?", [str(part)])
        except UserError as error:
            raise UserError(f"{file}: the backup was not written: {error}") from error
        flush(part)


def expired(database: Database, keep_days: float | None, max_rows: int | None, now: float, where: Filter) -> list[int]:
    """Ids of the rows that retention deletes, ascending; see `Gallery.apply_retention`."""
    for name, value in (("--keep-days", keep_days), ("--max-rows", max_rows)):
        if value is not None and not value >= 0:
            raise UserError(f"{name} {value}: expected 0 or more")
    old: list[int] = []
    if keep_days is not None:
        oldest = now - keep_days * DAY
        until = oldest if where.until is None else min(oldest, where.until)
        old = store.matching(database, replace(where, until=until))
    if max_rows is None:
        return old
    gone = set(old)
    left = [i for i in store.matching(database, where) if i not in gone]
    return sorted([*old, *left[: max(0, len(left) - max_rows)]])


def verify(database: Database) -> list[str]:
    """What is wrong with the file, a line each."""
    problems = _attempt(database, "PRAGMA integrity_check(20)")
    problems = [line for line in problems if line != "ok"]
    with database.reading():
        try:
            ids, found = _rows(database)
            problems += found
            problems += _blobs(database, ids)
            problems += _counts(database, len(ids))
        except UserError as error:
            problems.append(str(error))
    return problems


def reembed(database: Database, space_id: str, dim: int, embed: Callable[[list[bytes], Modality], Floats]) -> int:
    """Replace all embeddings, made from the crops; see `Gallery.reembed`."""
    with database.writing():
        bare = [i for (i,) in database.all("SELECT id FROM row WHERE crop_crc IS NULL ORDER BY id")]
        if bare:
            named = ", ".join(map(str, bare[:_NAMED])) + (", ..." if len(bare) > _NAMED else "")
            raise UserError(f"{database.path}: {len(bare)} rows have no crop to re-embed: {named}; delete them first")
        rows = 0
        for modality in Modality:
            ids = [i for (i,) in database.all("SELECT id FROM row WHERE modality = ? ORDER BY id", [modality.value])]
            for start in range(0, len(ids), _BATCH):
                part = ids[start : start + _BATCH]
                crops = dict(
                    database.all(f"SELECT id, jpeg FROM crop WHERE id IN ({', '.join('?' * len(part))})", part)
                )
                vectors = np.asarray(embed([crops[i] for i in part], modality), np.float32)
                _check_embedded(vectors, part, dim)
                store.replace_vectors(database, part, vectors)
                rows += len(part)
        database.run("UPDATE gallery SET space_id = ?, dim = ?, spaces = spaces + 1", [space_id, dim])
    return rows


def _check_embedded(vectors: Floats, ids: list[int], dim: int) -> None:
    if vectors.shape != (len(ids), dim):
        raise UserError(f"re-embedding: the bundle gives {vectors.shape}; expected {(len(ids), dim)}")
    bad = np.flatnonzero(~(np.abs(np.linalg.norm(vectors, axis=1) - 1) <= LONGEST_DEVIATION))
    if bad.size:
        raise UserError(
            f"re-embedding: row {ids[bad[0]]} has an embedding that is not of length 1; nothing was changed"
        )


def _rows(database: Database) -> tuple[dict[int, tuple[object, object]], list[str]]:
    """Checksums of vector and crop by id, and what is wrong with the rows."""
    problems: list[str] = []
    ids: dict[int, tuple[object, object]] = {}
    highest = 0
    for stored in _each(database, f"SELECT {store.STORED} FROM row WHERE id > ? ORDER BY id LIMIT 1000", problems):
        ids[stored[0]] = (stored[6], stored[7])
        highest = max(highest, stored[8]) if isinstance(stored[8], int) else highest
        try:
            sound = store.row_crc(stored[:-1]) == stored[-1]
        except (TypeError, ValueError):
            sound = False
        if not sound:
            problems.append(f"row {stored[0]}: what is stored of it does not match its checksum")
    last = store.state(database).seq
    if highest > last:
        problems.append(f"change {highest} is later than the last one counted, {last}")
    return ids, problems


def _each(database: Database, sql: str, problems: list[str]) -> Iterator[tuple[Any, ...]]:
    """Rows by ascending id; where a page cannot be read, row by row by the ids that the index of changes has."""
    last = 0
    try:
        while rows := database.all(sql, [last]):
            yield from rows
            last = rows[-1][0]
        return
    except UserError as error:
        problems.append(str(error))
    try:
        ids = sorted(i for (i,) in database.all("SELECT id FROM row INDEXED BY row_seq WHERE seq > 0") if i > last)
    except UserError as error:
        problems.append(str(error))
        return
    for row_id in ids:
        try:
            found = database.one(f"SELECT {store.STORED} FROM row WHERE id = ?", [row_id])
        except UserError:
            found = None
        if found is None:
            problems.append(f"row {row_id}: cannot be read")
        else:
            yield found


def _blobs(database: Database, ids: dict[int, tuple[object, object]]) -> list[str]:
    """What is wrong with embeddings and crops."""
    problems = []
    for row_id, (vector, crop) in ids.items():
        for table, column, name, expected in (
            ("vector", "embedding", "embedding", vector),
            ("crop", "jpeg", "crop", crop),
        ):
            try:
                found = database.one(f"SELECT {column} FROM {table} WHERE id = ?", [row_id])
            except UserError:
                problems.append(f"row {row_id}: its {name} cannot be read")
                continue
            if found is None:
                if expected is not None:
                    problems.append(f"row {row_id}: its {name} is missing")
                continue
            start = row_id & 0xFFFFFFFF if table == "vector" else 0
            if not isinstance(found[0], bytes) or zlib.crc32(found[0], start) != expected:
                problems.append(f"row {row_id}: its {name} does not match its checksum")
    return problems


def _counts(database: Database, rows: int) -> list[str]:
    problems = []
    counted = store.state(database).rows
    if counted != rows:
        problems.append(f"{rows} rows are there; {counted} were counted")
    for table in ("vector", "crop"):
        sql = f"SELECT id FROM {table} WHERE id NOT IN (SELECT id FROM row) LIMIT {_NAMED}"
        problems += [f"{table} {i} belongs to no row" for (i,) in database.all(sql)]
    return problems


def _attempt(database: Database, sql: str) -> list[str]:
    try:
        return [str(line) for (line,) in database.all(sql)]
    except UserError as error:
        return [str(error)]
