"""Artifact folders: they appear whole or not at all, and know what they hold and where they come from.

Every artifact has a `manifest.json`: kind, format version, what wrote it, the sha256 and size of each file, and the
manifest digest of each parent. There is no date in it: equal content gives an equal manifest, on any machine.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Any

from reid import __version__
from reid.errors import UserError

MANIFEST = "manifest.json"
FORMAT_VERSION = 1
PARTIAL = ".partial"


@dataclass(frozen=True)
class FileEntry:
    """What the manifest says of one file: its sha256 in hex and its size in bytes."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Parent:
    """An artifact that this one was made from. `path` is where it lay, relative to this one: a hint, not a promise."""

    kind: str
    manifest_sha256: str
    path: str


@dataclass(frozen=True)
class Manifest:
    """The content of a `manifest.json`.

    Attributes:
        kind: "dataset", "embeddings", "teacher", "student", "bundle", ...
        writer: what wrote it: version, command, recipe, seed.
        files: path inside the folder, with forward slashes -> entry; the manifest itself is not listed.
        parents: what it was made from.
        details: whatever this kind of artifact says of itself; JSON values.
        format_version: of this file's form.
    """

    kind: str
    writer: dict[str, Any]
    files: dict[str, FileEntry]
    parents: tuple[Parent, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def to_json(self) -> str:
        """The file's text; equal manifests give equal text."""
        return json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    @property
    def sha256(self) -> str:
        """Digest of the file's text: the artifact's identity, and what its children record."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


class ArtifactWriter:
    """Writes an artifact beside its place and renames it into place when it is complete.

    Use as a context manager and write files under `path`. On success every file is hashed and flushed to disk, the
    manifest is written and `<out>.partial` becomes `<out>`. On an exception `<out>.partial` is removed, unless
    `resumable`: then it stays, and the next writer of the same `out` goes on with what it holds.

    Args:
        out: the folder to make.
        kind: the artifact's kind.
        writer: what writes it (command, recipe, seed); the version is added.
        parents: folders of the artifacts that it is made from.
        resumable: keep the partial folder when interrupted and go on with one that is there.

    Attributes:
        path: the folder to write in.
        details: what the manifest will say of this kind of artifact.
        scratch: names of files that serve the writing alone. They stay until the folder is in its place, so that a
            writer that dies at any moment leaves all that the next one needs, and are removed then.

    Raises:
        UserError: `out` exists, or another process is writing it.
    """

    def __init__(
        self,
        out: Path,
        kind: str,
        writer: Mapping[str, Any],
        parents: Iterable[Path] = (),
        *,
        resumable: bool = False,
    ) -> None:
        if out.exists():
            raise UserError(f"{out}: already exists; choose another name or remove it first")
        self.out, self.kind, self.resumable = out, kind, resumable
        self.path = out.with_name(out.name + PARTIAL)
        self.writer = {"version": __version__, **writer}
        self.details: dict[str, Any] = {}
        self._parents = tuple(_parent(Path(parent), out) for parent in parents)
        self._lock = -1
        self.scratch: set[str] = set()

    def __enter__(self) -> ArtifactWriter:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror}); choose another place") from error
        try:
            # The folder itself is locked: the lock goes with it through the rename, and leaves no file behind.
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Who waited while another finished has locked a folder that is no longer the partial one.
            mine = self.path.is_dir() and os.path.samestat(os.fstat(self._lock), self.path.stat())
        except BlockingIOError:
            mine = False
        if not mine:
            os.close(self._lock)
            raise UserError(f"{self.path}: another process is writing it; wait for it or choose another name")
        if not self.resumable:
            _empty(self.path)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            # Whether the caller failed or the last step did (a full disk): nothing half-written stays behind.
            if not self.resumable and self.path.is_dir():
                shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)

    def _finish(self) -> None:
        for leftover in self.path.rglob(f"*{PARTIAL}"):
            leftover.unlink()
        # A manifest that is there was left by a writer that died between it and the rename.
        hidden = {MANIFEST, *self.scratch}
        files = {path.relative_to(self.path).as_posix(): path for path in self.path.rglob("*") if path.is_file()}
        files = {name: path for name, path in files.items() if name not in hidden}
        entries = {name: FileEntry(sha256_of(files[name]), files[name].stat().st_size) for name in sorted(files)}
        manifest = Manifest(self.kind, self.writer, entries, self._parents, self.details)
        write_text(self.path / MANIFEST, manifest.to_json())
        self._seal()
        # One flush of the file system costs less than an fsync of each of ten thousand images.
        os.sync()
        try:
            self._place()
        except OSError as error:
            raise UserError(f"{self.out}: cannot be put in place ({error.strerror}); choose another name") from error
        for name in self.scratch:
            (self.out / name).unlink(missing_ok=True)
        _flush_folder(self.out.parent)

    def _seal(self) -> None:
        """Write what speaks of the manifest itself, such as a signature of it. By default nothing does."""

    def _place(self) -> None:
        """Put the finished folder in its place; what is left of `path` afterwards is removed."""
        self.path.rename(self.out)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the artifact at `folder`.

    Raises:
        UserError: no artifact, unfinished, not readable, an unknown key, or a newer format.
    """
    path = folder / MANIFEST
    if not path.is_file():
        unfinished = folder.name.endswith(PARTIAL) or folder.with_name(folder.name + PARTIAL).is_dir()
        why = "it was not finished; run the command that writes it again" if unfinished else "expected an artifact"
        raise UserError(f"{folder}: has no {MANIFEST}; {why}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: not a manifest ({type(error).__name__}: {error})") from error
    return parse_manifest(data, str(path))


def parse_manifest(data: bytes, path: str) -> Manifest:
    """The manifest that the bytes of a `manifest.json` hold; `path` names it in errors.

    Raises:
        UserError: not a manifest, an unknown key, or a newer format.
    """
    try:
        raw = json.loads(data.decode("utf-8"))
        unknown = sorted(set(raw) - {f.name for f in fields(Manifest)})
        if unknown:
            raise UserError(
                f"{path}: unknown key '{unknown[0]}'; was it written by a newer version than {__version__}?"
            )
        if raw["format_version"] != FORMAT_VERSION:
            raise UserError(f"{path}: format version {raw['format_version']}; this version reads {FORMAT_VERSION}")
        return Manifest(
            raw["kind"],
            raw["writer"],
            {name: FileEntry(**entry) for name, entry in raw["files"].items()},
            tuple(Parent(**parent) for parent in raw["parents"]),
            raw["details"],
        )
    except UserError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: not a manifest ({type(error).__name__}: {error})") from error


def expect_kind(folder: Path, kind: str) -> Manifest:
    """The manifest of `folder`, which must be an artifact of this kind with every file there in its full size.

    Raises:
        UserError: it is not, or a file is missing, cut short or grown.
    """
    manifest = read_manifest(folder)
    if manifest.kind != kind:
        raise UserError(f"{folder}: is an artifact of kind '{manifest.kind}'; expected '{kind}'")
    problems = check_files(folder, manifest, hashes=False)
    if problems:
        raise UserError(f"{folder}: {problems[0]}; make or copy it again")
    return manifest


def check_files(folder: Path, manifest: Manifest, *, hashes: bool = True) -> list[str]:
    """What is wrong with the files of an artifact, a line each; empty if nothing is. `hashes` reads every byte."""
    problems = []
    for name, entry in manifest.files.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{name} is missing")
        elif (size := path.stat().st_size) != entry.bytes:
            problems.append(f"{name} has {size} bytes; expected {entry.bytes}")
        elif hashes and sha256_of(path) != entry.sha256:
            problems.append(f"{name} has changed since it was written (sha256 differs)")
    return problems


def newest(kind: str, root: Path) -> Path:
    """The artifact of this kind that was finished last, anywhere up to two folders below `root`.

    Raises:
        UserError: there is none.
    """
    places = [path.parent for pattern in (f"*/{MANIFEST}", f"*/*/{MANIFEST}") for path in root.glob(pattern)]
    found = [folder for folder in places if not folder.name.endswith(PARTIAL) and _is_kind(folder, kind)]
    if not found:
        raise UserError(f"{root}: holds no finished artifact of kind '{kind}'; name one")
    return max(found, key=lambda folder: (folder / MANIFEST).stat().st_mtime_ns)


def _is_kind(folder: Path, kind: str) -> bool:
    """Whether an artifact of this kind lies there; a manifest.json of some other program is none."""
    try:
        return read_manifest(folder).kind == kind
    except UserError:
        return False


def sha256_of(path: Path) -> str:
    """sha256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a text file so that it has either its old content or all of the new, whatever happens.

    Raises:
        UserError: it cannot be written.
    """
    with replacing(path) as part, part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside `path` to write a file under; it becomes `path` when the context ends without an error.

    Raises:
        UserError: it cannot be written; nothing stays behind.
    """
    part = path.with_name(path.name + PARTIAL)
    try:
        yield part
        part.replace(path)
        _flush_folder(path.parent)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error}); choose another place") from error
    finally:
        part.unlink(missing_ok=True)


def _parent(folder: Path, out: Path) -> Parent:
    manifest = read_manifest(folder)
    return Parent(manifest.kind, manifest.sha256, Path(os.path.relpath(folder, out)).as_posix())


def _empty(folder: Path) -> None:
    for child in folder.iterdir():
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
