"""Small bundles, written for real."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onnx import TensorProto, helper, numpy_helper

from edge_runtime.preprocess import Preprocessing
from export.batch import Profile
from export.bundle.contents import BundleContents
from export.bundle.write import write_bundle
from export.crops import Crops, synthetic_crops
from export.session import open_session, run_crops
from reid.artifact import ArtifactWriter, sha256_of
from reid.modality import Modality
from reid.subspace import Subspace

FIT = Preprocessing(32, 16)
DIM = 8


def subspace() -> Subspace:
    """Orthonormal directions about a mean; without torch, so that a child process starts quickly."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(24, 24)))[0][:, :DIM]
    spectrum = np.arange(24, 0, -1, dtype=np.float64)
    return Subspace("principal", rng.normal(size=(1, 24)) / 24, basis, spectrum[:DIM].copy(), spectrum)


def linear_graph(seed: int = 0) -> onnx.ModelProto:
    """pixels -> coordinates in three nodes: a graph that is quick to run, and whose answers tell images apart."""
    rng = np.random.default_rng(seed)
    weights = (rng.normal(size=(3 * FIT.height * FIT.width, DIM)) / 4000).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["pixels"], ["flat"], name="flatten"),
            helper.make_node("MatMul", ["flat", "w"], ["coordinates"], name="head"),
        ],
        "student",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3, FIT.height, FIT.width])],
        [helper.make_tensor_value_info("coordinates", TensorProto.FLOAT, ["batch", DIM])],
        [numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def stamped(model: onnx.ModelProto, contents: BundleContents, precision: str) -> onnx.ModelProto:
    """With the metadata that a graph of these contents has."""
    from export.graph.metadata import Metadata, set_metadata

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    metadata = Metadata(
        "image", contents.student, "0", contents.modalities, "rgb", contents.preprocessing, contents.dim, precision, 17,
        contents.space_id, "1" * 64, sha256_of(contents.subspace), "2" * 64,
    )  # fmt: skip
    set_metadata(copy, metadata.to_props())
    return copy


@cache
def people() -> Crops:
    """Three images of each modality."""
    return synthetic_crops(FIT, 3)


def small_contents(folder: Path, *, metadata: bool = True, **changes: Any) -> BundleContents:
    """The contents of a bundle of a linear student; `folder` gets its artifact. Without `metadata`, without torch."""
    student = folder / "student"
    if not student.exists():
        with ArtifactWriter(student, "student", {"command": "test"}) as artifact:
            subspace().save(artifact.path / "subspace.safetensors")
    model, crops = linear_graph(), people()
    reference = run_crops(open_session(model, threads=1), crops)
    contents = BundleContents(
        parent=student, student="linear", space_id="5" * 64, preprocessing=FIT,
        modalities=(Modality.RGB, Modality.IR, Modality.SKETCH), dim=DIM, graphs={"fp32": model},
        subspace=student / "subspace.safetensors", crops=crops, reference=reference,
        profile=Profile(1, 4, 8), targets=("orin-nano",), reports={"parity.json": {"fp32": float("nan")}},
    )  # fmt: skip
    contents = replace(contents, **changes)
    if not metadata:
        return contents
    return replace(contents, graphs={p: stamped(g, contents, p) for p, g in contents.graphs.items()})  # type: ignore[arg-type]


def small_bundle(folder: Path, name: str = "bundle", *, key: Path | None = None, **changes: Any) -> Path:
    """A bundle in `folder`."""
    return write_bundle(folder / name, small_contents(folder, **changes), key=key)


def key_pair(folder: Path, name: str = "key") -> tuple[Path, Path]:
    """Files of a private and a public key."""
    private = Ed25519PrivateKey.generate()
    paths = folder / f"{name}.pem", folder / f"{name}.pub"
    paths[0].write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    paths[1].write_bytes(
        private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return paths
