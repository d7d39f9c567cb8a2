"""Whether a bundle is what it was when it was written.

The order matters: the signature before the manifest is understood, the manifest before a file is opened, the files
before anything computes with them.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from edge_runtime.bundle.description import refuse_newer
from edge_runtime.bundle.layout import CHECKSUMS, KIND, MANIFEST_BYTES, SIGNATURE, unsafe
from edge_runtime.bundle.signature import SIGNATURE_BYTES, verify
from reid.artifact import MANIFEST, PARTIAL, Manifest, parse_manifest, sha256_of
from reid.errors import UserError

UNLISTED = {MANIFEST, SIGNATURE, CHECKSUMS}
"""Files that no manifest lists, because they speak of it."""


def understand(manifest: bytes, signature: bytes | None, key: Path | bytes | None, where: str) -> tuple[Manifest, str]:
    """A bundle's manifest and the fingerprint of who signed it ("" if no key is asked for).

    Args:
        manifest, signature: the bytes of the two files; None: there is no signature.
        key: a public key that must have signed it. where: names the bundle in errors.

    Raises:
        UserError: the signature does not hold, it is no bundle, of a newer version, or lists a file that it may not.
    """
    signer = "" if key is None else verify(manifest, signature, key, where)
    understood = parse_manifest(manifest, f"{where}: {MANIFEST}")
    if understood.kind != KIND:
        raise UserError(f"{where}: is an artifact of kind '{understood.kind}'; expected '{KIND}'")
    if not isinstance(understood.details, dict):
        raise UserError(f"{where}: {MANIFEST} has no details; make the bundle again")
    refuse_newer(understood.details.get("schema"), where)
    for name, entry in understood.files.items():
        if (why := unsafe(name)) or name in UNLISTED:
            raise UserError(f"{where}: {MANIFEST} lists {name!r}, which {why or 'it may not'}; do not use this bundle")
        size, digest = entry.bytes, entry.sha256
        if type(size) is not int or size < 0 or not re.fullmatch(r"[0-9a-f]{64}", str(digest)):
            raise UserError(f"{where}: {MANIFEST} gives {name} no size and sha256; get the bundle again")
    return understood, signer


def read_folder(folder: Path, key: Path | bytes | None) -> tuple[Manifest, str]:
    """As `understand`, of a bundle that lies unpacked. Raises UserError if there is none."""
    if not (folder / MANIFEST).is_file():
        why = "it was not finished; write or copy it again" if folder.name.endswith(PARTIAL) else "expected a bundle"
        raise UserError(f"{folder}: has no {MANIFEST}; {why}")
    manifest = _small(folder, MANIFEST, MANIFEST_BYTES)
    signature = _small(folder, SIGNATURE, SIGNATURE_BYTES) if os.path.lexists(folder / SIGNATURE) else None
    return understand(manifest, signature, key, str(folder))


def problems(folder: Path, manifest: Manifest) -> Iterator[str]:
    """What is wrong with a bundle's files, a line each; reads every byte."""
    for name, entry in manifest.files.items():
        path = folder / name
        try:
            if why := _irregular(folder, name):
                yield f"{name} {why}"
            elif not path.is_file():
                yield f"{name} is missing"
            elif (size := path.stat().st_size) != entry.bytes:
                yield f"{name} has {size} bytes; expected {entry.bytes}"
            elif sha256_of(path) != entry.sha256:
                yield f"{name} has changed since it was written (sha256 differs)"
        except OSError as error:
            yield f"{name} cannot be read ({error.strerror})"
    yield from checksum_problems(folder, manifest)


def unlisted(folder: Path, manifest: Manifest) -> tuple[str, ...]:
    """Files that lie in a bundle's folder and that its manifest does not know. Nothing ever reads them."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    names = (path.relative_to(folder).as_posix() for path in found)
    return tuple(sorted(name for name in names if name not in manifest.files and name not in UNLISTED))


def checksums(manifest_sha256: str, manifest: Manifest, signature: bytes | None) -> str:
    """The text of `SHA256SUMS`, which `sha256sum -c` reads: every file, the manifest and its signature."""
    rows = {name: entry.sha256 for name, entry in manifest.files.items()}
    rows[MANIFEST] = manifest_sha256
    if signature is not None:
        rows[SIGNATURE] = hashlib.sha256(signature).hexdigest()
    return "".join(f"{rows[name]}  {name}\n" for name in sorted(rows))


def checksum_problems(folder: Path, manifest: Manifest) -> Iterator[str]:
    """What is wrong with `SHA256SUMS`: without a signature it is what notices that the manifest itself was damaged."""
    if (why := _irregular(folder, CHECKSUMS)) or not (folder / CHECKSUMS).is_file():
        yield f"{CHECKSUMS} {why or 'is missing'}"
        return
    signature = _small(folder, SIGNATURE, SIGNATURE_BYTES) if os.path.lexists(folder / SIGNATURE) else None
    expected = checksums(sha256_of(folder / MANIFEST), manifest, signature)
    # Compared as bytes: a damaged file need not be text.
    found = _small(folder, CHECKSUMS, 2 * MANIFEST_BYTES)
    if found == expected.encode():
        return
    there = set(found.split(b"\n"))
    lines = [line for line in expected.split("\n") if line and line.encode() not in there]
    odd = lines[0].split("  ", 1)[1] if len(lines) == 1 else ""
    if odd in (MANIFEST, SIGNATURE):
        yield f"{odd} or {CHECKSUMS} has changed since it was written (they disagree)"
    else:
        yield f"{CHECKSUMS} does not agree with {MANIFEST}; one of them has changed since it was written"


def _small(folder: Path, name: str, limit: int) -> bytes:
    if why := _irregular(folder, name):
        raise UserError(f"{folder}: {name} {why}; do not use this bundle")
    try:
        with (folder / name).open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise UserError(f"{folder / name}: cannot be read ({error.strerror}); copy the bundle again") from error
    if len(data) > limit:
        raise UserError(f"{folder / name}: has more than {limit} bytes; get the bundle again")
    return data


def _irregular(folder: Path, name: str) -> str | None:
    """Why a path is not followed: it, or a folder on the way, is a symbolic link; or it is a device or a pipe."""
    path = folder
    for part in name.split("/"):
        path = path / part
        if path.is_symlink():
            return f"is a symbolic link, or lies behind one ({path.relative_to(folder).as_posix()})"
    if path.exists() and not path.is_file():
        return "is not a regular file"
    return None
