"""The graphs that an engine is built from: those of a bundle, of a student by way of one, or a single ONNX file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_runtime.bundle.contents import Bundle
from edge_runtime.bundle.layout import KIND as BUNDLE
from edge_runtime.bundle.open import open_bundle
from export.graph.metadata import PREFIX, read_metadata
from export.pipeline import Request as Wanted
from export.pipeline import make_bundle
from export.session import MODALITY, PIXELS
from reid import __version__
from reid.artifact import read_manifest
from reid.errors import UserError
from student.checkpoint import KIND as STUDENT

Say = Callable[[str], None]


@dataclass(frozen=True)
class Check:
    """What an engine is judged by: inputs of its graph by name, and float32 [n, k], what the fp32 student answers."""

    inputs: dict[str, NDArray[Any]]
    reference: NDArray[np.float32]
    modalities: tuple[Any, ...]


@dataclass(frozen=True)
class Graphs:
    """ONNX files by precision.

    Attributes:
        name: of the student, for file names. files: precision -> file. bundle: that they are of; None: none.
    """

    name: str
    files: dict[str, Path]
    bundle: Bundle | None

    def file(self, precision: str) -> Path:
        """The graph of a precision.

        Raises:
            UserError: there is none.
        """
        if precision not in self.files:
            where = self.bundle.folder if self.bundle else next(iter(self.files.values()), self.name)
            raise UserError(
                f"{where}: has no graph in {precision}, only {', '.join(self.files)}; make one with: "
                f"reid export bundle --{precision}"
            )
        return self.files[precision]

    def kept(self, precision: str) -> tuple[str, ...]:
        """Names of the nodes that stay in fp32 in this precision, for a TensorRT that is given the fp32 graph."""
        if self.bundle is None:
            return ()
        about = self.bundle.manifest.details.get("precision", {}).get(precision, {})
        return tuple(about.get("kept_fp32", ()))

    def check(self) -> Check | None:
        """The bundle's crops and what the student makes of them; None: there is no bundle."""
        if self.bundle is None:
            return None
        found = self.bundle.check()
        pixels = np.ascontiguousarray(found.pixels.transpose(0, 3, 1, 2)).astype(np.float32)
        return Check({PIXELS: pixels, MODALITY: found.codes}, found.reference, found.modalities)


def graphs_of(source: Path, name: str, wanted: Wanted, out: Path | None, say: Say) -> Graphs:
    """The graphs at `source`; a student is made into a bundle first.

    Args:
        source: an ONNX file, a bundle's folder or archive, or a student's folder.
        name: what the bundle of a student is called after its name: target and precision.
        wanted: precisions, target and batch; and how a student becomes graphs.
        out: where a student's bundle is made; None: under ./runs. say: takes progress.

    Raises:
        UserError: it is none of them; what it is instead is said.
    """
    if not source.exists():
        raise UserError(f"{source}: is not there; name a student's folder, a bundle's, or an ONNX file")
    if source.suffix == ".onnx":
        name, _, rest = source.stem.rpartition(".")
        said = _precision_of(source)
        return Graphs(name or rest, dict.fromkeys(wanted.precisions if said is None else (said,), source), None)
    if source.is_dir() and read_manifest(source).kind == STUDENT:
        source = _bundle_of(source, name, wanted, out, say)
    elif source.is_dir() and (kind := read_manifest(source).kind) != BUNDLE:
        raise UserError(f"{source}: is an artifact of kind '{kind}'; expected '{STUDENT}', '{BUNDLE}' or an ONNX file")
    bundle = open_bundle(source)
    there = {precision: bundle.file(bundle.graph(precision).path) for precision in bundle.precisions}
    return Graphs("student", there, bundle)


def _precision_of(source: Path) -> str | None:
    """What an ONNX file says that it computes in; None: it is not one of ours, or not whole, which the parser says."""
    try:
        return read_metadata(onnx.load(source)).get(f"{PREFIX}precision")
    except Exception:  # protobuf's and onnx's own classes
        return None


def _made_by(place: Path, student: Path, wanted: Wanted) -> bool:
    """Whether the bundle that lies there is what would be made now: of this student, by this version and request."""
    try:
        found, parent = read_manifest(place), read_manifest(student)
    except UserError:
        return False
    same = found.writer == {"version": __version__, "command": "export bundle", **wanted.told()}
    return found.kind == BUNDLE and same and [each.manifest_sha256 for each in found.parents] == [parent.sha256]


def _bundle_of(student: Path, name: str, wanted: Wanted, out: Path | None, say: Say) -> Path:
    place = out or Path("runs/bundle") / f"{student.resolve().name}-{name}"
    # It takes minutes to make: one that an earlier call made of the same is taken, and any other name refused now.
    if place.exists():
        if _made_by(place, student, wanted):
            say(f"bundle: {place}, made before of the same student by the same request")
            return place
        raise UserError(
            f"{place}: already exists, and was not made of this student by this request; choose another name with "
            f"--out, build from what is there (reid export trt {place}), or remove it first"
        )
    make_bundle(student, place, wanted, say=say)
    say(f"bundle: {place}")
    return place
