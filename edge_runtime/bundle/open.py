"""Opening a bundle: nothing of it is used before all of it is verified."""

from __future__ import annotations

from pathlib import Path

from edge_runtime.bundle.contents import Bundle
from edge_runtime.bundle.description import describe
from edge_runtime.bundle.layout import ARCHIVES, is_archive
from edge_runtime.bundle.unpack import unpack
from edge_runtime.bundle.verify import problems, read_folder, unlisted
from reid.errors import UserError


def open_bundle(path: Path, *, key: Path | bytes | None = None, work: Path | None = None) -> Bundle:
    """A bundle, verified to the last byte.

    Args:
        path: its folder, or a `.tar.zst` or `.tar` of it.
        key: a public key (PEM, or a file of it) that must have signed it; None: any bundle will do.
        work: where an archive is unpacked, into `<name>-<start of the manifest's sha256>`; by default beside it. What
            is there from an earlier opening is verified and used.

    Raises:
        UserError: not a bundle, of a newer version, not signed by the key, tampered with (the file is named), or an
            archive that would write outside its folder.
    """
    if path.is_dir():
        return _verified(path, key)
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; expected a bundle, as `reid export bundle` writes it")
    if not is_archive(path.name):
        raise UserError(f"{path}: expected a bundle's folder, or an archive of it ({', '.join(ARCHIVES)})")
    return _verified(unpack(path, work or path.parent, key), key)


def _verified(folder: Path, key: Path | bytes | None) -> Bundle:
    manifest, signer = read_folder(folder, key)
    problem = next(problems(folder, manifest), None)
    if problem:
        raise UserError(f"{folder}: {problem}; copy the bundle again, or remove what was unpacked")
    description = describe(manifest.details, str(folder))
    return Bundle(folder, manifest, description, signer or None, unlisted(folder, manifest))
