"""Writing a bundle: a folder or an archive that appears whole, or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_runtime.bundle.layout import (
    ARCHIVES,
    CHECKSUMS,
    CROPS,
    KIND,
    NEIGHBOURS,
    REFERENCE,
    REPORTS,
    SCHEMA,
    SIGNATURE,
    TEXT,
    graph_path,
    is_archive,
)
from edge_runtime.bundle.verify import checksums
from export.bundle.archive import pack, refuse_ending
from export.bundle.contents import BundleContents, Graph
from export.bundle.deploy.files import deploy_files
from export.bundle.sign import sign
from export.crops import IMAGE_MODALITIES
from export.graph.lower import written_opset
from export.graph.opset import GREATEST
from export.session import COORDINATES, MODALITY, PIXELS
from export.targets import find_target
from reid.artifact import MANIFEST, ArtifactWriter, read_manifest, sha256_of
from reid.errors import UserError
from reid.similarity import normalise
from reid.subspace import FILE as SUBSPACE

NEAREST = 10
_PACKED = ".archive"
"""Inside the partial folder: what a killed writer leaves is in one place, which the next one clears."""
_STRONG = (10, 0)
"""The first TensorRT of a Jetson that builds in the types of the graph."""
TOKENIZER = f"{TEXT}/tokenizer.json"


def write_bundle(out: Path, contents: BundleContents, *, key: Path | None = None, archive: bool | None = None) -> Path:
    """Write a bundle. Equal contents give an equal manifest, on any machine and at any time.

    Args:
        out: the folder to make, or the `.tar.zst` or `.tar`.
        contents: of it.
        key: private key (PEM, Ed25519) to sign the manifest with.
        archive: pack it; None: if the name of `out` says so.

    Returns:
        `out`.

    Raises:
        UserError: `out` exists or cannot be written (a full disk), a target does not exist, the key is none, or a file
            of the contents is missing. Nothing half-written stays.
    """
    refuse_ending(out)
    packed = is_archive(out.name) if archive is None else archive
    if packed and not is_archive(out.name):
        raise UserError(f"{out}: an archive's name ends in {' or '.join(ARCHIVES)}")
    signer = None if key is None else sign(key)
    targets = [find_target(name) for name in dict.fromkeys(contents.targets)]
    writer = _BundleWriter(out, KIND, contents.writer, [contents.parent], signer=signer, packed=packed)
    try:
        with writer as artifact:
            _write_models(artifact.path, contents)
            _write_check(artifact.path, contents)
            for name, report in contents.reports.items():
                _text(artifact.path / REPORTS / name, report if isinstance(report, str) else _json(report))
            artifact.details.update(details_of(artifact.path, contents))
            for name, text in deploy_files(artifact.details, targets).items():
                _text(artifact.path / name, text)
    except OSError as error:
        raise UserError(
            f"{out}: cannot be written ({error.strerror or error}); make room or choose another place"
        ) from error
    return out


def details_of(folder: Path, contents: BundleContents) -> dict[str, Any]:
    """What the manifest says of a bundle; docs/bundle.md lists the keys. `folder` has the models already."""
    fit = contents.preprocessing
    modality = {"name": MODALITY, "dtype": "int64", "codes": [str(m) for m in IMAGE_MODALITIES]}
    return {
        "schema": SCHEMA,
        "space_id": contents.space_id,
        "student": {"name": contents.student, **contents.about},
        "input": {
            "name": PIXELS,
            "shape": ["batch", 3, fit.height, fit.width],
            "dtype": "float32",
            "layout": "NCHW",
            "colour": "RGB",
            "range": [0, 255],
            "normalised_by": "graph",
            "modality": modality if contents.by_modality else None,
        },
        "output": {"name": COORDINATES, "dim": contents.dim, "dtype": "float32", "l2_normalised": False},
        "preprocessing": fit.to_dict(),
        "modalities": [str(m) for m in contents.modalities],
        "graphs": _graphs(folder, contents),
        "precision": _plain({
            precision: {**contents.precision.get(precision, {}), "kept_fp32": list(contents.kept.get(precision, ()))}
            for precision in contents.graphs
        }),
        "parity": _plain(contents.parity),
        "gates": _plain(contents.gates),
        "profile": {
            "min": contents.profile.minimum, "opt": contents.profile.optimum, "max": contents.profile.maximum,
        },
        "workspace_mb": contents.workspace_mb,
        "first": contents.first,
        "targets": list(dict.fromkeys(contents.targets)),
        "text": None if contents.text is None else {"tokenizer": TOKENIZER, "longest": contents.text.longest},
        "check": {"images": len(contents.crops), "origin": contents.crops.origin, "sha256": contents.crops.sha256},
        "licence": contents.licence,
    }  # fmt: skip


def oldest_trt(opset: int, precision: str) -> str | None:
    """The oldest TensorRT that reads a graph as it is; None if none is known to. Half precision lies in the types of
    the graph, which is for builders with strong typing; unsigned activations are for CPUs alone."""
    if precision.endswith("-cpu"):
        return None
    least = _STRONG if precision in ("fp16", "bf16") else min(GREATEST)
    found = next((version for version, greatest in GREATEST.items() if greatest >= opset and version >= least), None)
    return None if found is None else f"{found[0]}.{found[1]}"


def nearest(reference: NDArray[np.float32], count: int = NEAREST) -> NDArray[np.int64]:
    """int64 [n, m] places of the m = min(count, n - 1) most similar other rows, best first, by the cosine."""
    rows = normalise(reference).astype(np.float64)
    scores = rows @ rows.T
    np.fill_diagonal(scores, -np.inf)
    # Rounded, so that the order of near copies does not hang on the last bits of a matrix product.
    return np.argsort(-scores.round(6), axis=1, kind="stable")[:, : min(count, len(rows) - 1)].astype(np.int64)


class _BundleWriter(ArtifactWriter):
    """Adds the signature and the checksums, and packs the folder if an archive is wanted."""

    def __init__(self, *args: Any, signer: Callable[[bytes], bytes] | None, packed: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._signer, self._packed = signer, packed

    def _seal(self) -> None:
        manifest = (self.path / MANIFEST).read_bytes()
        signature = None if self._signer is None else self._signer(manifest)
        if signature is not None:
            (self.path / SIGNATURE).write_bytes(signature)
        text = checksums(sha256_of(self.path / MANIFEST), read_manifest(self.path), signature)
        (self.path / CHECKSUMS).write_text(text, encoding="utf-8")
        if self._packed:
            pack(self.path, self.path / _PACKED, compressed=self.out.name.endswith(".zst"))

    def _place(self) -> None:
        if self._packed:
            (self.path / _PACKED).replace(self.out)
        else:
            super()._place()


def _write_models(folder: Path, contents: BundleContents) -> None:
    for precision, graph in contents.graphs.items():
        _graph(graph, folder / graph_path(precision))
    if contents.text is not None:
        _graph(contents.text.graph, folder / TEXT / "text.fp32.onnx")
        _copy(contents.text.tokenizer, folder / TOKENIZER)
    _copy(contents.subspace, folder / SUBSPACE)


def _write_check(folder: Path, contents: BundleContents) -> None:
    (folder / CROPS).parent.mkdir(parents=True, exist_ok=True)
    np.savez(folder / CROPS, pixels=contents.crops.pixels, codes=contents.crops.codes)
    np.save(folder / REFERENCE, np.ascontiguousarray(contents.reference))
    _text(folder / NEIGHBOURS, json.dumps(nearest(contents.reference).tolist()) + "\n")


def _graphs(folder: Path, contents: BundleContents) -> list[dict[str, Any]]:
    found = [
        _onnx_entry(folder, graph_path(precision), "image", precision, contents.min_trt.get(precision))
        for precision in contents.graphs
    ]
    if contents.text is not None:
        found.append(_onnx_entry(folder, f"{TEXT}/text.fp32.onnx", "text", "fp32", None))
    return found


def _onnx_entry(folder: Path, path: str, role: str, precision: str, min_trt: str | None) -> dict[str, Any]:
    model = onnx.load(folder / path)
    opset = written_opset(model)
    return {
        "path": path, "role": role, "format": "onnx", "precision": precision, "typing": "strong", "opset": opset,
        "ir": model.ir_version, "min_trt": min_trt or oldest_trt(opset, precision),
    }  # fmt: skip


def _graph(graph: Graph, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(graph, Path):
        _copy(graph, path)
    else:
        # Deterministic: metadata is a list and no map, but a proto may hold maps one day.
        path.write_bytes(graph.SerializeToString(deterministic=True))


def _copy(source: Path, target: Path) -> None:
    if not source.is_file():
        raise UserError(f"{source}: no such file; expected what goes into {target.name} of the bundle")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _json(value: Any) -> str:
    return json.dumps(_plain(value), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _plain(value: Any) -> Any:
    """As strict JSON has it: what is no number becomes null, as other languages cannot read NaN."""
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    if isinstance(value, dict) or hasattr(value, "items"):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value.item() if isinstance(value, np.generic) else value
