"""One connection to the SQLite file: durable settings, transactions, and errors that people can act on.

WAL with synchronous=FULL costs one fdatasync for each commit and loses nothing that was acknowledged, neither when the
process is killed nor when the power goes (synchronous=NORMAL would, in a power cut).
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from reid.errors import UserError

WAL_BYTES = 64 * 2**20
"""The log file is cut back to this after a checkpoint."""
_ADVICE = (
    ("locked", "another process has been writing it for too long; try again or stop that process"),
    ("busy", "another process has been writing it for too long; try again or stop that process"),
    ("full", "the disk or its quota is full and nothing was written; make room, then go on"),
    ("readonly", "it cannot be written; the file, its folder or its disk is read-only"),
    ("read-only", "it cannot be written; the file, its folder or its disk is read-only"),
    (
        "unable to open",
        "it cannot be opened; is the folder there, may you write in it, is its disk read-only?",
    ),
    ("disk i/o", "the disk refused to read or write it; nothing was written; is it full or failing?"),
    ("malformed", "the file is damaged; `edge verify` names what is, a backup brings it back"),
    ("not a database", "the file is not a gallery, or its beginning is damaged; choose another or use a backup"),
    ("no such table", "the file lacks a table of a gallery; it is damaged or not one; use a backup"),
    ("no such column", "the file lacks a column of a gallery; it is damaged or not one; use a backup"),
)


class Database:
    """A connection that several threads may use; one at a time has it.

    Args:
        path: the file.
        read_only: never write, also not the log; the file must be there.
        busy_seconds: how long to wait for another writer.

    Raises:
        UserError: it cannot be opened.
    """

    def __init__(self, path: Path, *, read_only: bool = False, busy_seconds: float = 5.0) -> None:
        self.path, self.read_only = path, read_only
        self.lock = threading.RLock()
        with self.told():
            self._connection = self._open(busy_seconds)

    def _open(self, busy_seconds: float) -> sqlite3.Connection:
        if not self.read_only:
            connection = self._connect("rw" if self.path.exists() else "rwc", busy_seconds)
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute("PRAGMA secure_delete=ON")
                connection.execute(f"PRAGMA journal_size_limit={WAL_BYTES}")
            except BaseException:
                connection.close()
                raise
            return connection
        connection = self._connect("ro", busy_seconds)
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            return connection
        except sqlite3.OperationalError as error:
            connection.close()
            log = self.path.with_name(self.path.name + "-wal")
            # Where the folder cannot be written there is no place for the shared memory of the log. That is no matter
            # if the log is empty: then the file alone is the whole truth, and nobody can change it.
            if "locked" in str(error) or (os.access(self.path.parent, os.W_OK) and not _read_only_disk(self.path)):
                raise
            if log.exists() and log.stat().st_size:
                raise UserError(
                    f"{self.path}: lies on a read-only disk with a log that was not written back; "
                    "copy the file and its -wal to a disk that can be written"
                ) from error
        return self._connect("ro&immutable=1", busy_seconds)

    def _connect(self, mode: str, busy_seconds: float) -> sqlite3.Connection:
        connection = self._connection_to(mode, busy_seconds)
        # A flipped byte in a name shall not keep the row, nor those after it, from being read.
        connection.text_factory = partial(str, encoding="utf-8", errors="replace")
        return connection

    def _connection_to(self, mode: str, busy_seconds: float) -> sqlite3.Connection:
        uri = f"file:{quote(str(self.path.absolute()))}?mode={mode}"
        # Transactions are begun by hand: the module's own would begin late and not as writers.
        return sqlite3.connect(uri, uri=True, timeout=busy_seconds, isolation_level=None, check_same_thread=False)

    def close(self) -> None:
        """Close it; the last one that has the file open writes the log back."""
        with self.lock, self.told():
            self._connection.close()

    def all(self, sql: str, values: Iterable[Any] | dict[str, Any] = ()) -> list[Any]:
        """All rows of a statement."""
        with self.lock, self.told():
            return self._connection.execute(sql, values if isinstance(values, dict) else tuple(values)).fetchall()

    def one(self, sql: str, values: Iterable[Any] = ()) -> Any:
        """The first row of a statement, or None."""
        with self.lock, self.told():
            return self._connection.execute(sql, tuple(values)).fetchone()

    def many(self, sql: str, values: Iterable[tuple[Any, ...]]) -> int:
        """Run a statement for each of `values`; how many rows it changed."""
        with self.lock, self.told():
            return self._connection.executemany(sql, values).rowcount

    def run(self, sql: str, values: Iterable[Any] = ()) -> int:
        """Run a statement; the id of the row it inserted, if it did."""
        with self.lock, self.told():
            return self._connection.execute(sql, tuple(values)).lastrowid or 0

    def chunks(self, sql: str, values: Iterable[Any] = (), size: int = 4096) -> Iterator[list[Any]]:
        """A statement's rows in lists of at most `size`. Hold the lock, or a transaction, while going through them."""
        with self.told():
            cursor = self._connection.execute(sql, tuple(values))
        while True:
            with self.told():
                rows = cursor.fetchmany(size)
            if not rows:
                return
            yield rows

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction that writes: on disk when the context ends, and nothing of it if there was an error.

        Raises:
            UserError: opened read-only, another process writes for too long, or the disk refuses.
        """
        if self.read_only:
            raise UserError(f"{self.path}: was opened to be read only; open it for writing")
        with self._transaction("BEGIN IMMEDIATE", "COMMIT"):
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        """A transaction that sees one state of the file, whatever others write meanwhile."""
        # There is nothing to commit, and a commit fails after a page that could not be read.
        with self._transaction("BEGIN", "ROLLBACK"):
            yield

    @contextmanager
    def _transaction(self, begin: str, end: str) -> Iterator[None]:
        with self.lock, self.told():
            self._connection.execute(begin)
            try:
                yield
                self._connection.execute(end)
            except BaseException:
                # A full disk may have rolled back already.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def told(self) -> Iterator[None]:
        """Turn errors of SQLite into one line that names the file and the way out."""
        try:
            yield
        except sqlite3.Error as error:
            text = str(error).lower()
            advice = next((advice for sign, advice in _ADVICE if sign in text), None)
            if advice is None:
                raise
            raise UserError(f"{self.path}: {advice} ({error})") from error


def flush(path: Path) -> None:
    """Flush a file or a folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_only_disk(path: Path) -> bool:
    """Whether the file system is mounted read-only, which also binds root."""
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
