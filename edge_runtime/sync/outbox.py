"""The gallery as an outbox: changes that a collection does not have yet, and how far it has come."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_runtime.gallery import Change, Gallery
from edge_runtime.gallery.database import Database
from edge_runtime.gallery.store import State, changes, state
from edge_runtime.sync.client import Later
from reid.errors import UserError


class Outbox:
    """A gallery that others write meanwhile: they are never made to wait longer than one small commit takes.

    Raises:
        UserError: as `Gallery.open`.
    """

    def __init__(self, path: Path) -> None:
        self._gallery = Gallery.open(path, create=False, index="numpy")
        self.path = self._gallery.path
        self._reader = Database(self.path, read_only=True)

    def close(self) -> None:
        """Close it."""
        self._reader.close()
        self._gallery.close()

    @property
    def state(self) -> State:
        """What the gallery says of itself now."""
        return state(self._reader)

    def read(self, since: int, limit: int) -> tuple[State, list[Change]]:
        """The first `limit` changes after `since`, and the state that they belong to, as of one moment."""
        with self._reader.reading():
            return state(self._reader), changes(self._reader, since, limit, crops=False, has_watermark=True)

    def watermark(self, name: str) -> int | None:
        """How far `name` has come; None if it never said."""
        found = self._reader.one("SELECT seq FROM watermark WHERE name = ?", [name])
        return None if found is None else int(found[0])

    def names(self, prefix: str) -> list[str]:
        """Names of the watermarks that begin with `prefix`."""
        return [n for (n,) in self._reader.all("SELECT name FROM watermark") if n.startswith(prefix)]

    def set_watermark(self, name: str, seq: int) -> None:
        """Say durably how far `name` has come.

        Raises:
            Later: another process writes for too long, or the disk is full.
        """
        try:
            self._gallery.set_watermark(name, seq)
        except UserError as error:
            raise Later(str(error)) from error

    def drop_watermark(self, name: str) -> None:
        """Keep no tombstones for `name` any longer."""
        self._gallery.drop_watermark(name)

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Hold a lock, until the context ends or the process dies, so that one process at a time ships for `name`.

        Two would overtake each other: what one sends late could undo what the other has sent since.

        Raises:
            UserError: another process has it.
        """
        import fcntl

        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        place = self.path.with_name(f"{self.path.name}-sync-{digest}.lock")
        try:
            descriptor = os.open(place, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise UserError(f"{place}: cannot be written ({error.strerror}); sync keeps a lock there") from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise UserError(f"{self.path}: another edge sync ships it there already; stop that one first") from None
            yield
        finally:
            os.close(descriptor)
