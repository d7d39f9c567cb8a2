"""The tables of a gallery, their version, and how an older one becomes the newest.

Vectors and crops have tables of their own, so that everything else of a million rows is 100 MB that can be read in one
go. A row bears the number of its last change (`seq`) and of its first (`born`); a deleted row leaves a tombstone. So
the log of changes needs no table that grows: it is the rows themselves in the order of `seq`.
"""

from __future__ import annotations

import uuid
from pathlib import Path

from edge_runtime.gallery.database import Database, flush
from reid.errors import UserError

APPLICATION = 0x52474C59
"""SQLite's application id of a gallery: "RGLY"."""
VERSION = 1
"""Of the tables below; kept in SQLite's user_version."""

TABLES = (
    """CREATE TABLE gallery (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        name TEXT NOT NULL,      -- a random id: which gallery this is
        space_id TEXT NOT NULL,  -- of the bundle whose embeddings it holds
        dim INTEGER NOT NULL,
        rows INTEGER NOT NULL,   -- count(*) of row, which would read the whole table
        seq INTEGER NOT NULL,    -- of the last change
        pruned INTEGER NOT NULL, -- greatest seq of a tombstone that was taken away
        spaces INTEGER NOT NULL  -- how often the embeddings were replaced by another bundle's
    )""",
    """CREATE TABLE row (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        person TEXT,
        camera TEXT,
        modality TEXT NOT NULL,
        time REAL NOT NULL,
        metadata TEXT NOT NULL,   -- JSON
        vector_crc INTEGER NOT NULL,
        crop_crc INTEGER,         -- NULL: no crop
        born INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        crc INTEGER NOT NULL      -- of all columns above but born
    )""",
    "CREATE INDEX row_seq ON row (seq)",
    "CREATE TABLE vector (id INTEGER PRIMARY KEY, embedding BLOB NOT NULL)",
    "CREATE TABLE crop (id INTEGER PRIMARY KEY, jpeg BLOB NOT NULL)",
    "CREATE TABLE tombstone (seq INTEGER PRIMARY KEY, id INTEGER NOT NULL)",
    "CREATE TABLE watermark (name TEXT PRIMARY KEY, seq INTEGER NOT NULL)",
)

MIGRATIONS: dict[int, tuple[str, ...]] = {}
"""Version -> the statements that make the next one of it."""


def prepare(database: Database, space_id: str | None, dim: int | None, *, create: bool) -> None:
    """Make the tables where there are none, and bring those of an older version up to date, whole or not at all.

    Raises:
        UserError: the file is something else, of a newer version, too old to be read without writing, or there is
            none and none may be made.
    """
    path = database.path
    version, application = _stamp(database)
    if application != APPLICATION:
        if application or version or database.one("SELECT name FROM sqlite_master LIMIT 1"):
            raise UserError(f"{path}: is a database of another program; expected a gallery; choose another name")
        if not create or database.read_only:
            raise UserError(f"{path}: is empty; expected a gallery; enrol into it first")
        if space_id is None or dim is None:
            raise UserError(f"{path}: is new; say which bundle's embeddings it is to hold")
        _make(database, space_id, dim)
    elif version > VERSION:
        raise UserError(f"{path}: gallery of schema version {version}; this program reads up to {VERSION}; update it")
    elif version < VERSION:
        _migrate(database)


def _stamp(database: Database) -> tuple[int, int]:
    """Schema version and application id."""
    return database.one("PRAGMA user_version")[0], database.one("PRAGMA application_id")[0]


def _make(database: Database, space_id: str, dim: int) -> None:
    if not 1 <= dim <= 65536:
        raise UserError(f"{database.path}: width {dim} of embeddings; expected 1 to 65536")
    with database.writing():
        if _stamp(database)[1] == APPLICATION:
            return  # Another process made it while this one waited.
        for statement in TABLES:
            database.run(statement)
        first = (uuid.uuid4().hex, space_id, dim)
        database.run("INSERT INTO gallery VALUES (1, ?, ?, ?, 0, 0, 0, 0)", first)
        database.run(f"PRAGMA application_id = {APPLICATION}")
        database.run(f"PRAGMA user_version = {VERSION}")
    # The file's name must be on disk as well.
    flush(Path(database.path.absolute()).parent)


def _migrate(database: Database) -> None:
    if database.read_only:
        raise UserError(f"{database.path}: gallery of an older schema version; open it for writing once to update it")
    with database.writing():
        version = _stamp(database)[0]
        while version < VERSION:
            if version not in MIGRATIONS:
                raise UserError(
                    f"{database.path}: gallery of schema version {version}, which is not known; use a backup"
                )
            for statement in MIGRATIONS[version]:
                database.run(statement)
            version += 1
            database.run(f"PRAGMA user_version = {version}")
