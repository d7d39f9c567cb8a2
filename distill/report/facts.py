"""What is said of a run in words: who was distilled into what, and where all of it comes from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from distill.report.plots import NAMES
from distill.training.run import Run
from reid import __version__
from reid.artifact import MANIFEST, Manifest, Parent, read_manifest
from reid.lineage import lineage
from reid.modality import Modality
from student.checkpoint import KIND, WEIGHTS
from student.counting import Size, count


@dataclass(frozen=True)
class Origin:
    """An artifact that the student was made from, or that one of those was.

    Attributes:
        depth: 1 for what the student was made from, 2 for what that was made from, ...
        kind: of artifact. place: where it lay, from the student's folder. sha256: of its manifest.
        writer: what wrote it, as far as it is known.
    """

    depth: int
    kind: str
    place: str
    sha256: str
    writer: str

    def row(self) -> dict[str, str]:
        """For a table."""
        indent = "\u00a0\u00a0\u00a0" * (self.depth - 1)
        return {
            "made from": f"{indent}{self.kind}", "where it lay": self.place, "sha256": self.sha256,
            "written by": self.writer,
        }  # fmt: skip


def teacher_name(run: Run) -> str:
    """The folder of the teacher's checkpoint, or of its store if that is all there is."""
    return (run.source.checkpoint or run.source.store.path).resolve().name


def is_ordered(run: Run) -> bool:
    """Whether the coordinates are ordered by importance, so that a prefix of them is an embedding too."""
    return run.subspace.kind in ("principal", "between")


def size_of(run: Run) -> Size:
    """Of the student for images."""
    return count(run.module.student)


def described(run: Run, folder: Path) -> dict[str, str]:
    """Name -> what there is to know.

    Args:
        run: finished. folder: of the artifact, weights written.
    """
    subspace, config, size, text = run.subspace, run.module.student.config, size_of(run), run.module.text
    weights = folder / WEIGHTS
    megabytes = f", {weights.stat().st_size / 1e6:.1f} MB on disk" if weights.is_file() else ""
    begun = f"weights of {Path(config.init).name}" if config.init else "random weights"
    known = {
        "teacher": f"{teacher_name(run)}, {subspace.dim} dimensions",
        "student": f"{run.name}, {config.height} x {config.width} pixels, pooling {config.pooling}, stems "
        f"{config.stems}, begun with {begun}",
        "size": f"{size.parameters:,} weights, {size.gflops:.2f} GFLOPs an image{megabytes}",
        "text student": "none: sentences are embedded by the teacher"
        if text is None
        else f"{sum(weight.numel() for weight in text.parameters()):,} weights",
        "coordinates": f"{subspace.rank} of {subspace.dim}, basis {subspace.kind}: {run.analysis.reason}",
        "recipe": f"{run.recipe.name}, seed {run.recipe.training.seed}",
        "trained on": trained_on(run),
        "steps": f"{run.steps:,}" + (f", kept: step {run.best_step:,}" if run.best_step else ""),
        "written by": f"reid-distill {__version__}",
    }
    if run.recipe.views:
        known["targets"] = f"of {run.recipe.views} stored augmented views of each training image"
    return known


def trained_on(run: Run) -> str:
    """How many people and samples of what data."""
    counts = {m: sum(sample.modality is m for sample in run.samples) for m in Modality}
    parts = ", ".join(f"{number:,} {NAMES[modality]}" for modality, number in counts.items() if number)
    spec = run.source.spec or run.source.dataset.root.name
    return f"{spec}: {len(run.people):,} people, {parts}"


def origins(run: Run, folder: Path) -> Iterator[Origin]:
    """What a student in `folder` is made from, each artifact once, followed by what it was made from itself."""
    source, seen = run.source, set[str]()
    roots = [source.store.path, *([source.checkpoint] if source.checkpoint else []), source.dataset.root]
    parents = tuple(_parent(root, folder) for root in roots if (root / MANIFEST).is_file())
    for ancestor in lineage(folder, Manifest(KIND, {}, {}, parents)):
        sha256 = ancestor.parent.manifest_sha256
        if sha256 in seen:
            continue
        seen.add(sha256)
        place = Path(os.path.relpath(ancestor.folder, folder.resolve())).as_posix()
        writer = _writer(ancestor.manifest) if ancestor.manifest and ancestor.state == "ok" else ancestor.state
        yield Origin(ancestor.depth, ancestor.parent.kind, place, sha256, writer)


def _parent(root: Path, folder: Path) -> Parent:
    manifest = read_manifest(root)
    return Parent(manifest.kind, manifest.sha256, Path(os.path.relpath(root.resolve(), folder.resolve())).as_posix())


def _writer(manifest: Manifest) -> str:
    known = {key: manifest.writer.get(key) for key in ("command", "recipe", "seed", "version")}
    return ", ".join(
        str(value) if key == "command" else f"{key} {value}" for key, value in known.items() if value is not None
    )
