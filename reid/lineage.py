"""Where an artifact comes from: its parents, their parents, and whether they still are what they were."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reid.artifact import Manifest, Parent, read_manifest
from reid.errors import UserError


@dataclass(frozen=True)
class Ancestor:
    """One artifact of a lineage.

    Attributes:
        depth: 1 for a parent, 2 for a grandparent, ...
        parent: what the child recorded.
        folder: where it should lie.
        manifest: its manifest, if it is there.
        state: "ok", "not here", or "changed" (an artifact lies there, but another one).
    """

    depth: int
    parent: Parent
    folder: Path
    manifest: Manifest | None
    state: str


def lineage(folder: Path, manifest: Manifest, depth: int = 1) -> Iterator[Ancestor]:
    """The ancestors of the artifact at `folder`, each followed by its own."""
    for parent in manifest.parents:
        place = (folder / parent.path).resolve()
        found, state = None, "not here"
        if place.is_dir():
            try:
                found = read_manifest(place)
                state = "ok" if found.sha256 == parent.manifest_sha256 else "changed"
            except UserError:
                state = "changed"
        yield Ancestor(depth, parent, place, found, state)
        if found is not None and state == "ok":
            yield from lineage(place, found, depth + 1)
