"""Packing a bundle's folder. The reader is `edge_runtime.bundle.unpack`."""

from __future__ import annotations

import tarfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, cast

from edge_runtime.bundle.layout import CHECKSUMS, KIND, SIGNATURE
from reid.artifact import MANIFEST, read_manifest

LEVEL = 10
"""Of zstd: weights hardly shrink, crops and text do."""


def pack(folder: Path, out: Path, *, compressed: bool) -> None:
    """Pack a finished bundle: plain `ustar`, the manifest and its signature first, then the checksums and the files by
    name. Equal bundles give equal bytes: no dates, no owners.

    Raises:
        OSError: it cannot be written.
    """
    names = [MANIFEST, SIGNATURE, CHECKSUMS, *sorted(read_manifest(folder).files)]
    with ExitStack() as stack:
        stream: IO[bytes] = stack.enter_context(out.open("wb"))
        if compressed:
            import zstandard

            writer: Any = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
            stream = stack.enter_context(cast("Any", writer).stream_writer(stream, closefd=False))
        tar = stack.enter_context(tarfile.open(fileobj=stream, mode="w|", format=tarfile.USTAR_FORMAT))
        for name in names:
            path = folder / name
            if not path.is_file() and name == SIGNATURE:
                continue
            member = tarfile.TarInfo(f"{KIND}/{name}")
            member.size, member.mode = path.stat().st_size, 0o644
            with path.open("rb") as file:
                tar.addfile(member, file)
