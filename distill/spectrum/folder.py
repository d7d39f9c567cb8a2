"""What `distill spectrum` leaves: subspace.safetensors, spectrum.json, spectrum.txt and pictures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from distill.settings import Spectrum
from distill.spectrum.analysis import Analysis
from distill.spectrum.plots import draw
from reid.artifact import MANIFEST, ArtifactWriter, read_manifest, write_text
from reid.embeddings import EmbeddingStore
from reid.errors import UserError
from reid.subspace import FILE, Subspace

KIND = "spectrum"


def refuse_taken(out: Path, *, overwrite: bool) -> None:
    """Make sure, before any work is done, that `out` can be made.

    Raises:
        UserError: something lies there that may not be replaced.
    """
    if not out.exists():
        return
    if not overwrite:
        raise UserError(f"{out}: already exists; choose another name, or --overwrite it")
    if not (out / MANIFEST).is_file() or read_manifest(out).kind != KIND:
        raise UserError(f"{out}: is not a spectrum, so it is not overwritten; choose another name, or remove it first")


def write(
    out: Path,
    store: EmbeddingStore,
    settings: Spectrum,
    subspace: Subspace,
    analysis: Analysis,
    *,
    overwrite: bool = False,
) -> list[Path]:
    """Write a spectrum as an artifact whose parent is the store.

    Returns:
        Its files.

    Raises:
        UserError: it cannot be written.
    """
    refuse_taken(out, overwrite=overwrite)
    if out.exists():
        shutil.rmtree(out)
    writer = {"command": "distill spectrum", "settings": settings.model_dump(mode="json")}
    with ArtifactWriter(out, KIND, writer, [store.path]) as artifact:
        subspace.save(artifact.path / FILE)
        write_text(artifact.path / "spectrum.json", json.dumps(analysis.to_dict(), indent=1, allow_nan=False) + "\n")
        write_text(artifact.path / "spectrum.txt", f"{analysis}\n")
        draw(analysis, artifact.path)
        artifact.details.update({"rank": subspace.rank, "basis": subspace.kind, "dim": subspace.dim})
    return sorted(path for path in out.iterdir() if path.name != MANIFEST)
