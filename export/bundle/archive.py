"""Packing a bundle's folder. The reader is `edge_runtime.bundle.unpack`."""

from __future__ import annotations

import tarfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, cast

from edge_runtime.bundle.layout import ARCHIVES, CHECKSUMS, KIND, SIGNATURE, is_archive
from reid.artifact import MANIFEST, read_manifest
from reid.errors import UserError

LEVEL = 10
"""Of zstd: weights hardly shrink, crops and text do."""


_FOREIGN = (".zip", ".gz", ".tgz", ".zst", ".tzst", ".xz", ".txz", ".bz2", ".tbz", ".7z", ".rar", ".onnx", ".json")
"""Endings of files that a bundle is not; a folder of such a name would be taken for one."""


def refuse_ending(out: Path) -> None:
    """Refuse a name that promises another kind of file than a bundle's folder or archive.

    Raises:
        UserError: it does.
    """
    if out.name.lower().endswith(_FOREIGN) and not is_archive(out.name):
        raise UserError(
            f"{out}: a bundle is no {out.suffix}; take a folder, or a name that ends in {' or '.join(ARCHIVES)}"
        )


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
