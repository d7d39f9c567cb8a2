"""Engines that this device has built, each under a key of all that it depends on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_runtime.batch import Profile
from reid.artifact import replacing, write_text
from reid.errors import UserError

ENGINE, SIDECAR = ".engine", ".json"
_SCHEMA = 1


@dataclass(frozen=True)
class Key:
    """All that an engine depends on: one that differs in any part has to be built anew.

    Attributes:
        onnx_sha256: of the graph that it is built from. trt: TensorRT's version. sm: compute capability.
        l4t: release of the Jetson's Linux. precision: what it computes in. profile: its batch sizes.
    """

    onnx_sha256: str
    trt: str
    sm: int
    l4t: str | None
    precision: str
    profile: Profile

    @property
    def name(self) -> str:
        """As files have it: "3f2a90c1d4e5.trt10.3.0.sm87.r36.4.fp16.b1-8-16"."""
        l4t = f".{self.l4t}" if self.l4t else ""
        return f"{self.onnx_sha256[:12]}.trt{self.trt}.sm{self.sm}{l4t}.{self.precision}.b{self.profile.key}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


@dataclass(frozen=True)
class Cached:
    """What the cache has for a key: the engine's bytes; or None, and why not, in words."""

    plan: bytes | None
    why: str = ""


def look_up(folder: Path, key: Key) -> Cached:
    """The engine of exactly this key, whole; its sidecar vouches for both."""
    engine, sidecar = paths(folder, key)
    if not engine.is_file():
        return Cached(None, _nearest(folder, key))
    try:
        about = json.loads(sidecar.read_text(encoding="utf-8"))
        plan = engine.read_bytes()
        found, digest = about["key"], about["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Cached(None, f"{sidecar.name} cannot be read ({type(error).__name__})")
    if found != key.to_dict():
        return Cached(None, f"{engine.name}: {differences(found, key)}")
    if hashlib.sha256(plan).hexdigest() != digest:
        return Cached(None, f"{engine.name} has changed since it was built (sha256 differs)")
    return Cached(plan)


def store(folder: Path, key: Key, plan: bytes, about: Mapping[str, Any]) -> None:
    """Put an engine under its key. Whenever this is interrupted, `look_up` finds the old one, the new one or none.

    Raises:
        UserError: it cannot be written; nothing half-written stays.
    """
    engine, sidecar = paths(folder, key)
    digest = hashlib.sha256(plan).hexdigest()
    said = {"schema": _SCHEMA, "key": key.to_dict(), "sha256": digest, "bytes": len(plan), **about}
    with replacing(engine) as part, part.open("wb") as file:
        file.write(plan)
        file.flush()
        os.fsync(file.fileno())
    # Until this is there, too, the sidecar's sha256 is of another engine, or there is none: no hit.
    write_text(sidecar, json.dumps(said, indent=1, sort_keys=True) + "\n")


def forget(folder: Path, key: Key) -> None:
    """Remove an engine that does not load."""
    for path in paths(folder, key):
        path.unlink(missing_ok=True)


def paths(folder: Path, key: Key) -> tuple[Path, Path]:
    """Where an engine and its sidecar lie."""
    return folder / f"{key.name}{ENGINE}", folder / f"{key.name}{SIDECAR}"


def place(bundle: Path, asked: Path | None) -> Path:
    """Folder of the engines, made if it is not there: `asked`, else `engines` beside the bundle, else the user's cache.

    Raises:
        UserError: nothing can be written there.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reid-distill" / "engines"
    tried = [asked] if asked is not None else [bundle.resolve().parent / "engines", home]
    why: OSError | None = None
    for folder in tried:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            why = error
            continue
        if os.access(folder, os.W_OK):
            return folder
    words = why.strerror if why is not None else "it is read-only"
    raise UserError(f"{tried[0]}: engines cannot be kept there ({words}); name another folder with --cache")


def differences(found: Any, key: Key) -> str:
    """What an engine was built for and what this device has, in words."""
    if not isinstance(found, dict):
        return "its sidecar has no key"
    mine = key.to_dict()
    called = {"trt": "TensorRT", "sm": "sm", "l4t": "L4T", "precision": "precision", "profile": "batches"}
    odd = [name for name in called if found.get(name) != mine[name]]
    if not odd:
        return "built from another graph"
    return (
        "built for "
        + ", ".join(f"{called[name]} {found.get(name)}" for name in odd)
        + "; here it is "
        + ", ".join(f"{called[name]} {mine[name]}" for name in odd)
    )


def _nearest(folder: Path, key: Key) -> str:
    """What of this graph is there for something else."""
    for sidecar in sorted(folder.glob(f"{key.onnx_sha256[:12]}.*.{key.precision}.*{SIDECAR}")):
        try:
            found = json.loads(sidecar.read_text(encoding="utf-8"))["key"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        return f"an engine is there, but {differences(found, key)}"
    return "none has been built yet"
