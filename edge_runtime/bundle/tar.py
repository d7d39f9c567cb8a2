"""A reader of plain `ustar` archives, the only kind that bundles come in.

Python's `tarfile` follows extensions (pax and GNU headers, links, sparse files) that a bundle has no use for and whose
sizes an archive chooses freely. This one knows regular files, checks each header, and reads nothing that was not asked
for. Source of the form: POSIX.1-1988, IEEE Std 1003.1, "ustar Interchange Format".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from edge_runtime.bundle.layout import unsafe
from reid.errors import UserError

_BLOCK = 512
_CHUNK = 1 << 20
_TAIL = 1 << 16
"""Padding after the end, at most; `tar` fills up to 10 KiB."""
WINDOW = 1 << 27
"""Memory that a compressed archive may ask for: 128 MiB, what `zstd --ultra -22` takes."""
_TYPES = {b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"5": "a folder",
          b"6": "a pipe"}  # fmt: skip


@dataclass(frozen=True)
class Member:
    """A regular file of an archive: its path below the bundle's folder, and its size in bytes."""

    name: str
    size: int


class TarReader:
    """Members of an archive, in order, from a stream that cannot go back.

    Args:
        stream: of the archive's bytes, not compressed. where: names it in errors.

    Attributes:
        prefix: folder that all members must lie in; it is taken off their names.
    """

    def __init__(self, stream: IO[bytes], where: str) -> None:
        self._stream, self._where = stream, where
        self._left = self._padding = 0
        self.prefix = ""

    def next(self) -> Member | None:
        """The next member; None at the end. What was not read of the one before is passed over.

        Raises:
            UserError: cut short, not a tar, or a member that is no regular file inside the bundle.
        """
        self._take(self._left + self._padding)
        self._left = self._padding = 0
        header = self._read(_BLOCK)
        if header == bytes(_BLOCK):
            self._end()
            return None
        member = self._member(header)
        self._left, self._padding = member.size, -member.size % _BLOCK
        return member

    def read(self, member: Member, limit: int) -> bytes:
        """All bytes of a member that `next` has just given.

        Raises:
            UserError: more than `limit`, or cut short.
        """
        if member.size > limit:
            raise UserError(f"{self._where}: {member.name} has {member.size} bytes; expected {limit} at most")
        return b"".join(self.chunks(member))

    def chunks(self, member: Member) -> Iterator[bytes]:
        """The bytes of a member that `next` has just given, a MiB at a time. Raises UserError if it is cut short."""
        while self._left:
            data = self._read(min(self._left, _CHUNK))
            self._left -= len(data)
            yield data

    def _member(self, header: bytes) -> Member:
        stated = _number(header[148:156])
        if header[257:263] != b"ustar\0" or stated != sum(header[:148]) + 8 * 32 + sum(header[156:]):
            raise UserError(f"{self._where}: not a plain tar archive (ustar), or damaged; copy or pack it again")
        name = _text(header[:100])
        if folder := _text(header[345:500]):
            name = f"{folder}/{name}"
        kind, size = header[156:157], _number(header[124:136])
        if kind not in (b"0", b"\0") or size is None:
            what = _TYPES.get(kind, "not a regular file of a plain archive (ustar)")
            raise UserError(f"{self._where}: {name!r} is {what}; a bundle has regular files only; do not use it")
        if why := unsafe(name):
            raise UserError(f"{self._where}: holds {name!r}, which {why}; do not use this bundle")
        if not name.startswith(self.prefix):
            raise UserError(f"{self._where}: holds {name!r} outside {self.prefix!r}; do not use this bundle")
        return Member(name[len(self.prefix) :], size)

    def _end(self) -> None:
        """After the last member there are zeros, and not many."""
        tail = b""
        while len(tail) <= _TAIL and (data := self._some(_TAIL)):
            tail += data
        if len(tail) < _BLOCK or len(tail) > _TAIL or tail.strip(b"\0"):
            raise UserError(f"{self._where}: does not end as an archive does; copy it again")

    def _take(self, count: int) -> None:
        while count:
            count -= len(self._read(min(count, _CHUNK)))

    def _read(self, count: int) -> bytes:
        parts = []
        while count:
            data = self._some(count)
            if not data:
                raise UserError(f"{self._where}: is cut short; copy it again")
            parts.append(data)
            count -= len(data)
        return b"".join(parts)

    def _some(self, count: int) -> bytes:
        try:
            return self._stream.read(count)
        except OSError as error:
            raise UserError(f"{self._where}: cannot be read ({error.strerror}); copy it again") from error
        except Exception as error:
            # zstandard's own class, which cannot be named where the package is not installed.
            if type(error).__name__ != "ZstdError":
                raise
            raise UserError(f"{self._where}: does not decompress ({error}); copy it again") from error


@contextmanager
def decompressed(archive: Path) -> Iterator[IO[bytes]]:
    """The bytes of the tar that is in a `.tar.zst` or `.tar`.

    Raises:
        UserError: it cannot be read, or `zstandard` is missing.
    """
    try:
        file = archive.open("rb")
    except OSError as error:
        raise UserError(f"{archive}: cannot be read ({error.strerror})") from error
    with file:
        if not archive.name.endswith(".zst"):
            yield file
            return
        try:
            import zstandard
        except ImportError:
            raise UserError(
                f"{archive}: needs zstandard; install it with: pip install zstandard, or ship the bundle as a folder "
                "or a .tar"
            ) from None
        reader: Any = zstandard.ZstdDecompressor(max_window_size=WINDOW)
        with reader.stream_reader(file, read_across_frames=True, closefd=False) as stream:
            yield cast("IO[bytes]", stream)


def _number(field: bytes) -> int | None:
    """An octal number of a header; None for what is none, GNU's base 256 for one."""
    digits = field.strip(b" \0")
    return int(digits, 8) if digits and all(48 <= digit < 56 for digit in digits) else None


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "replace")
