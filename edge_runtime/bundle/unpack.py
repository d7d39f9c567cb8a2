"""Unpacking an archive that nobody vouches for.

The first members are the manifest and, if there is one, its signature. They are verified before a byte is written, and
from then on only regular files that the manifest lists, of the size and content that it says, are. So an archive
can neither write outside its folder, nor make links or devices, nor grow beyond what it announces.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_runtime.bundle.layout import CHECKSUMS, MANIFEST_BYTES, SIGNATURE
from edge_runtime.bundle.signature import SIGNATURE_BYTES
from edge_runtime.bundle.tar import Member, TarReader, decompressed
from edge_runtime.bundle.verify import UNLISTED, checksum_problems, understand
from reid.artifact import MANIFEST, PARTIAL, Manifest
from reid.errors import UserError

UNPACKED_BYTES = 16 * 2**30
"""An archive that holds more is refused."""
_SPARE_BYTES = 64 * 2**20
"""What is to be left free on the disk."""


def unpack(archive: Path, work: Path, key: Path | bytes | None, *, limit: int = UNPACKED_BYTES) -> Path:
    """The folder of an unpacked bundle inside `work`; one that is there from an earlier time is not written again.

    Args:
        archive: `.tar.zst` or `.tar`. work: made if it is not there. key: a public key that must have signed it.
        limit: bytes that it may unpack to.

    Raises:
        UserError: as `open_bundle`; or it is cut short, too large, or the disk is full. Nothing half-written stays.
    """
    where = str(archive)
    with decompressed(archive) as stream:
        tar = TarReader(stream, where)
        manifest_bytes, signature, waiting = _head(tar, where)
        manifest, _ = understand(manifest_bytes, signature, key, where)
        name = archive.name.removesuffix(".zst").removesuffix(".tar")
        folder = work / f"{name}-{hashlib.sha256(manifest_bytes).hexdigest()[:12]}"
        if folder.is_dir():
            return folder
        _refuse_large(manifest, work, where, limit)
        try:
            work.mkdir(parents=True, exist_ok=True)
            with _alone(folder) as partial:
                if not folder.exists():
                    (partial / MANIFEST).write_bytes(manifest_bytes)
                    if signature is not None:
                        (partial / SIGNATURE).write_bytes(signature)
                    _extract(tar, waiting, partial, manifest, where)
                    if problem := next(checksum_problems(partial, manifest), None):
                        raise UserError(f"{where}: {problem}; copy it again")
                    os.sync()
                    partial.rename(folder)
        except OSError as error:
            raise UserError(f"{folder}: cannot be written ({error.strerror or error}); choose another place") from error
    return folder


def _head(tar: TarReader, where: str) -> tuple[bytes, bytes | None, Member | None]:
    """Bytes of manifest and signature, and the member that comes next."""
    member = tar.next()
    if member is None or member.name.rpartition("/")[2] != MANIFEST:
        found = "nothing" if member is None else repr(member.name)
        raise UserError(
            f"{where}: begins with {found}; expected {MANIFEST} first, as `reid export bundle` packs it; pack it again"
        )
    tar.prefix = member.name.removesuffix(MANIFEST)
    manifest = tar.read(member, MANIFEST_BYTES)
    member = tar.next()
    if member is None or member.name != SIGNATURE:
        return manifest, None, member
    return manifest, tar.read(member, SIGNATURE_BYTES), tar.next()


def _refuse_large(manifest: Manifest, work: Path, where: str, limit: int) -> None:
    total = sum(entry.bytes for entry in manifest.files.values())
    if total > limit:
        raise UserError(f"{where}: would unpack to {total} bytes, more than the {limit} that are allowed; unpack it")
    place = next(folder for folder in (work, *work.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    if total + _SPARE_BYTES > free:
        raise UserError(f"{work}: has {free >> 20} MiB free; {where} needs {(total + _SPARE_BYTES) >> 20}; make room")


def _extract(tar: TarReader, member: Member | None, folder: Path, manifest: Manifest, where: str) -> None:
    missing = {*manifest.files, CHECKSUMS}
    while member is not None:
        name = member.name
        if name not in missing:
            again = name in manifest.files or name in UNLISTED
            raise UserError(f"{where}: holds {name!r} {'twice' if again else 'that its manifest does not list'}")
        missing.discard(name)
        entry = manifest.files.get(name)
        if entry is not None and member.size != entry.bytes:
            raise UserError(f"{where}: {name} has {member.size} bytes; expected {entry.bytes}; copy it again")
        if entry is None and member.size > 2 * MANIFEST_BYTES:
            raise UserError(f"{where}: {name} has {member.size} bytes; get the bundle again")
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with path.open("xb") as file:
            for chunk in tar.chunks(member):
                digest.update(chunk)
                file.write(chunk)
        if entry is not None and digest.hexdigest() != entry.sha256:
            raise UserError(f"{where}: {name} has changed since it was written (sha256 differs); copy it again")
        member = tar.next()
    if missing:
        raise UserError(f"{where}: {min(missing)} is missing; copy it again")


@contextmanager
def _alone(folder: Path) -> Iterator[Path]:
    """An empty `<folder>.partial` that only this process writes; waits for another one that does.

    What a killed process left there is cleared, and what is there at the end is removed.
    """
    partial = folder.with_name(folder.name + PARTIAL)
    while True:
        partial.mkdir(exist_ok=True)
        try:
            lock = os.open(partial, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Who waited while another finished has locked a folder that has another name now, or none.
        if partial.is_dir() and os.path.samestat(os.fstat(lock), partial.stat()):
            break
        os.close(lock)
    try:
        for child in partial.iterdir():
            shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
        yield partial
    finally:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        os.close(lock)
