"""`export check`: whether a bundle still is what it was, and still recognises the people that it came with."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_runtime.bundle import Bundle, CheckSet, GraphFile, open_bundle
from edge_runtime.bundle.description import describe
from edge_runtime.bundle.layout import ARCHIVES, KIND, graph_path, is_archive
from edge_runtime.bundle.signature import public_key
from edge_runtime.bundle.verify import problems, read_folder, unlisted
from export.bundle.write import nearest
from export.crops import Crops, read_crops
from export.graph.check import check_graph
from export.graph.files import load_graph
from export.graph.metadata import Metadata, read_metadata
from export.graph.opset import greatest_opset
from export.parity.bars import bars_of, judge
from export.parity.measure import compare
from export.session import open_session, run_crops
from export.targets import FIRST_STRONG
from reid.artifact import MANIFEST, read_manifest
from reid.dataset import Dataset
from reid.errors import UserError
from reid.sample import Sample, Split
from reid.subspace import FILE as SUBSPACE

Embeddings = NDArray[np.float32]
_PER_MODALITY = 64
"""Images of each modality that the user's own data is checked on."""


@dataclass(frozen=True)
class Outcome:
    """What one check found.

    Attributes:
        name: what was checked. told: what was found, if it is worth telling. failures: in words; empty if it holds.
        warnings: what should be known.
    """

    name: str
    told: str = ""
    failures: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """For people."""
        if self.warnings and not self.told and not self.failures:
            return [f"warning {self.name}: {warning}" for warning in self.warnings]
        told = f": {self.told}" if self.told else ""
        found = [f"FAILED  {self.name}: {failure}" for failure in self.failures] or [f"OK      {self.name}{told}"]
        return [*found, *(f"warning {self.name}: {warning}" for warning in self.warnings)]


def check_bundle(path: Path, *, key: Path | None = None, dataset: Dataset | None = None) -> Iterator[Outcome]:
    """Check a bundle, one outcome after the other; those that need an earlier one to hold are left out if it does not.

    Args:
        path: a folder or an archive.
        key: a public key that must have signed it.
        dataset: the user's images, on which the precisions are held against the bundle's fp32 graph.

    Raises:
        UserError: there is nothing there that could be checked.
    """
    _expect_bundle(path)
    if key is not None:
        public_key(key, str(path))
    with _unpacked(path, key) as opened:
        if isinstance(opened, Outcome):
            yield opened
            return
        folder = opened
        try:
            manifest, signer = read_folder(folder, key)
        except UserError as error:
            yield Outcome("manifest", failures=(str(error),))
            return
        told = f"signed by {signer}" if signer else "no key given, so that anybody may have written it"
        yield Outcome("manifest", f"schema {manifest.details['schema']}, {told}")
        if dataset is not None and graph_path("fp32") not in manifest.files:
            why = "needs the fp32 graph to hold the others against, which this bundle has not; export it with --fp32"
            yield Outcome("--data", warnings=(f"not checked on --data: {why}",))
            dataset = None
        wrong = tuple(problems(folder, manifest))
        spare = tuple(f"{name} does not belong to the bundle" for name in unlisted(folder, manifest))
        yield Outcome("files", f"{len(manifest.files)}, every sha256 as listed", wrong, spare)
        if wrong:
            return
        try:
            bundle = Bundle(folder, manifest, describe(manifest.details, str(folder)), signer or None)
            stored, subspace = bundle.check(), bundle.subspace()
            if subspace.rank != bundle.dim:
                raise UserError(f"{SUBSPACE} has {subspace.rank} coordinates, the bundle {bundle.dim}")
        except UserError as error:
            yield Outcome("contents", failures=(str(error),))
            return
        yield Outcome("contents", f"space {bundle.space_id[:12]}, {bundle.dim} coordinates, {len(stored.codes)} crops")
        yield _check_neighbours(stored)
        yield from _check_recipes(bundle)
        sound = []
        for graph in bundle.description.graphs:
            if graph.format == "onnx":
                outcome = _check_graph(bundle, graph)
                yield outcome
                sound += [] if outcome.failures else [graph]
        yield from _check_parity(bundle, stored, sound, dataset)


def _expect_bundle(path: Path) -> None:
    """Refuse what nobody could take for a bundle: that is no verdict on one."""
    expected = "expected a bundle, as `reid export bundle` writes it"
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; {expected}")
    if not path.is_dir():
        if not is_archive(path.name):
            raise UserError(f"{path}: is a file, and no archive of a bundle ({', '.join(ARCHIVES)}); {expected}")
        return
    if not (path / MANIFEST).is_file():
        raise UserError(f"{path}: is a folder without {MANIFEST}; {expected}")
    try:
        kind = read_manifest(path).kind
    except UserError:
        return  # damaged, which the checks say
    if kind != KIND:
        raise UserError(f"{path}: is an artifact of kind '{kind}'; {expected}")


@contextmanager
def _unpacked(path: Path, key: Path | None) -> Iterator[Path | Outcome]:
    """The bundle's folder; of an archive one that is gone afterwards."""
    if path.is_dir() or not is_archive(path.name):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="reid-check-") as work:
        found: Path | Outcome
        try:
            found = open_bundle(path, key=key, work=Path(work)).folder
        except UserError as error:
            found = Outcome("archive", failures=(str(error),))
        yield found


def _check_neighbours(stored: CheckSet) -> Outcome:
    """The stored neighbours must be those of the stored references."""
    wanted = nearest(stored.reference, stored.neighbours.shape[1])
    rows = [row for row in range(len(wanted)) if list(wanted[row]) != list(stored.neighbours[row])]
    failures = (f"those of crop {rows[0]} are not those of its reference ({len(rows)} such)",) if rows else ()
    return Outcome("neighbours", f"{stored.neighbours.shape[1]} of each crop", failures)


def _check_recipes(bundle: Bundle) -> Iterator[Outcome]:
    for target in bundle.description.targets:
        try:
            recipe = bundle.recipe(target)
            graphs = [*recipe["graphs"].values(), recipe["weakly_typed"]["graph"]]
            missing = [name for name in graphs if name is not None and name not in bundle.manifest.files]
            failures = tuple(f"names {name}, which is not in the bundle" for name in missing)
            unbuilt = () if failures else tuple(_unbuildable(bundle, recipe))
            # Whoever asked for one precision alone was told which JetPacks do not read it.
            asked = bundle.manifest.details.get("first") is not None
            failures, warnings = (failures, unbuilt) if asked else ((*failures, *unbuilt), ())
        except UserError as error:
            failures, warnings = (str(error),), ()
        except (KeyError, TypeError, AttributeError) as error:
            failures, warnings = (f"not a recipe of this version ({type(error).__name__}: {error})",), ()
        yield Outcome(f"recipe for {target}", "its graphs are there", failures, warnings)


def _unbuildable(bundle: Bundle, recipe: Mapping[str, Any]) -> Iterator[str]:
    """The JetPacks of a recipe that have no graph in it which their TensorRT reads."""
    opsets = {graph.path: graph.opset for graph in bundle.description.graphs}
    for jetpack in recipe["target"]["jetpacks"]:
        version = str(jetpack["tensorrt"])
        strong = int(version.partition(".")[0]) >= FIRST_STRONG
        name = recipe["graphs"][recipe["precisions"][0]] if strong else recipe["weakly_typed"]["graph"]
        where = f"JetPack {jetpack['name']} (TensorRT {version})"
        if name is None:
            yield f"has no graph for {where}, which builds from fp32 alone; export it with --fp32, too"
        elif opsets[name] > greatest_opset(version):
            yield f"{name} is of opset {opsets[name]}; {where} reads at most {greatest_opset(version)}"


def _check_graph(bundle: Bundle, graph: GraphFile) -> Outcome:
    """The ONNX checker with full shape inference, and what the graph says of itself against the manifest."""
    name = f"graph {graph.path}"
    try:
        model = load_graph(bundle.file(graph.path))
        check_graph(model, opset=graph.opset, name=graph.path)
        found = Metadata.from_props(read_metadata(model), graph.path)
    except UserError as error:
        return Outcome(name, failures=(str(error),))
    stated = {
        "IR version": (model.ir_version, graph.ir),
        "space id": (found.space_id, bundle.space_id),
        "number of coordinates": (found.dim, bundle.dim),
        "preprocessing": (found.preprocessing, bundle.preprocessing),
        "precision": (found.precision, graph.precision),
        "kind": (found.kind, graph.role),
        "subspace": (found.subspace_sha256, bundle.manifest.files[SUBSPACE].sha256),
    }
    failures = tuple(
        f"its {what} is {mine}; the manifest says {theirs}" for what, (mine, theirs) in stated.items() if mine != theirs
    )
    return Outcome(name, f"opset {graph.opset}, IR {graph.ir}, metadata as in the manifest", failures)


def _check_parity(
    bundle: Bundle, stored: CheckSet, graphs: list[GraphFile], dataset: Dataset | None
) -> Iterator[Outcome]:
    sets = [("the check crops", _crops(stored), stored.reference)]
    images = [graph for graph in graphs if graph.role == "image"]
    if dataset is not None:
        fp32 = next((graph for graph in images if graph.precision == "fp32"), None)
        if fp32 is not None:  # else its graph has failed above
            own = read_crops(dataset, bundle.preprocessing, _PER_MODALITY)
            sets.append((f"{len(own)} images of --data", own, _embedder(bundle, fp32)(own)))
    for graph in images:
        for what, crops, reference in sets:
            yield _parity(bundle, graph, what, crops, reference)


def _parity(bundle: Bundle, graph: GraphFile, what: str, crops: Crops, reference: Embeddings) -> Outcome:
    name = f"parity of {graph.precision} on {what}"
    try:
        found = _embedder(bundle, graph)(crops)
    except (UserError, ValueError) as error:
        return Outcome(name, failures=(f"cannot be computed ({error})",))
    parity = compare(reference, found, crops.modalities, names=[sample.sample_id for sample in crops.samples])
    # The bars are those of this version: a bundle does not choose its own.
    missed = judge(parity, None, bars_of(graph.precision.partition("-")[0]))
    return Outcome(name, str(parity), tuple(missed))


def _embedder(bundle: Bundle, graph: GraphFile) -> Callable[[Crops], Embeddings]:
    """What has tensors in half precision by a typed evaluation, as ONNX Runtime's CPU kernels hide an overflow."""
    path = bundle.file(graph.path)
    if graph.precision in ("fp16", "bf16", "int8"):
        from export.precision.typed import TypedEvaluator

        return TypedEvaluator(onnx.load(path)).run
    session = open_session(path)
    return lambda crops: run_crops(session, crops)


def _crops(stored: CheckSet) -> Crops:
    samples = tuple(
        Sample(f"check crop {row}", str(row), modality, Split.TEST, image=Path(f"{row}"))
        for row, modality in enumerate(stored.modalities)
    )
    return Crops(stored.pixels, samples, "the bundle's check crops")
