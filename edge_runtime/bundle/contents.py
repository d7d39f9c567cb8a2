"""What a verified bundle holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.description import Description, GraphFile, Profile, TextFiles
from edge_runtime.bundle.layout import CROPS, DEPLOY, NEIGHBOURS, RECIPE, REFERENCE
from edge_runtime.preprocess import Preprocessing
from reid.artifact import Manifest
from reid.errors import UserError
from reid.modality import Modality
from reid.subspace import FILE as SUBSPACE
from reid.subspace import Subspace

IMAGES = tuple(modality for modality in Modality if modality.is_image)
"""A graph's codes of modalities are places in this."""


@dataclass(frozen=True)
class CheckSet:
    """n crops with the answers that the student gave before it was converted.

    Attributes:
        pixels: uint8 [n, H, W, 3], RGB, fitted to the graph's input.
        codes: int64 [n], places of their modalities in `IMAGES`.
        reference: float32 [n, k], coordinates by the fp32 student; not normalised.
        neighbours: int64 [n, m], the most similar other crops by the cosine of `reference`, best first.
    """

    pixels: NDArray[np.uint8]
    codes: NDArray[np.int64]
    reference: NDArray[np.float32]
    neighbours: NDArray[np.int64]

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """[n] theirs."""
        return tuple(IMAGES[code] for code in self.codes)


@dataclass(frozen=True)
class Bundle:
    """A bundle that was verified when it was opened.

    Attributes:
        folder: where it lies, unpacked. manifest: its manifest. description: what that says, typed.
        signer: fingerprint of the key that was asked for and that signed it; None: none was asked for.
        unlisted: files in the folder that do not belong to it; they are never read.
    """

    folder: Path
    manifest: Manifest
    description: Description
    signer: str | None = None
    unlisted: tuple[str, ...] = ()

    @property
    def space_id(self) -> str:
        """What gallery, queries and every precision must share."""
        return self.description.space_id

    @property
    def dim(self) -> int:
        """k, numbers of an embedding."""
        return self.description.dim

    @property
    def preprocessing(self) -> Preprocessing:
        """From an image to the graph's pixels (`fit`); mean and std are in the graph already."""
        return self.description.preprocessing

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What the student answers."""
        return self.description.modalities

    @property
    def profile(self) -> Profile:
        """Batch sizes that engines are built for."""
        return self.description.profile

    @property
    def text(self) -> TextFiles | None:
        """What answers sentences; None: they need the cloud."""
        return self.description.text

    @property
    def precisions(self) -> tuple[str, ...]:
        """Of the image graphs in ONNX, in the order of the manifest."""
        return tuple(g.precision for g in self.description.graphs if (g.role, g.format) == ("image", "onnx"))

    def graph(self, precision: str, *, role: str = "image", format: str = "onnx") -> GraphFile:
        """The graph of this precision. Its file is `file(graph.path)`.

        Raises:
            UserError: there is none; those that are there are named.
        """
        having = [graph for graph in self.description.graphs if (graph.role, graph.format) == (role, format)]
        for graph in having:
            if graph.precision == precision:
                return graph
        there = ", ".join(graph.precision for graph in having) or "none"
        raise UserError(
            f"{self.folder}: has no {role} graph in {precision} as {format}, only {there}; export it with "
            f"`reid export bundle --{precision}`"
        )

    def file(self, name: str) -> Path:
        """Where a file of the manifest lies.

        Raises:
            UserError: the manifest does not list it.
        """
        if name not in self.manifest.files:
            raise UserError(f"{self.folder}: its manifest lists no {name}; make the bundle again")
        return self.folder / name

    def subspace(self) -> Subspace:
        """Of the coordinates: embeddings of the cloud are projected by it. Needs safetensors."""
        return Subspace.load(self.file(SUBSPACE))

    def check(self) -> CheckSet:
        """What an engine is judged by before it is used.

        Raises:
            UserError: the arrays do not belong together.
        """
        try:
            with np.load(self.file(CROPS), allow_pickle=False) as arrays:
                pixels, codes = arrays["pixels"], arrays["codes"]
            reference = np.load(self.file(REFERENCE), allow_pickle=False)
            neighbours = np.asarray(json.loads(self.file(NEIGHBOURS).read_text(encoding="utf-8")), dtype=np.int64)
        except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
            raise UserError(
                f"{self.folder}: the check crops cannot be read ({error}); make the bundle again"
            ) from error
        count, size = len(pixels), (self.preprocessing.height, self.preprocessing.width, 3)
        fitting = (
            pixels.dtype == np.uint8 and pixels.shape[1:] == size and codes.shape == (count,)
            and reference.shape == (count, self.dim) and reference.dtype == np.float32
            and neighbours.ndim == 2 and len(neighbours) == count
            and bool(np.isin(codes, np.arange(len(IMAGES))).all())
            and bool(((neighbours >= 0) & (neighbours < count)).all())
        )  # fmt: skip
        if not fitting:
            raise UserError(
                f"{self.folder}: check crops of shape {list(pixels.shape)} do not go with references of shape "
                f"{list(reference.shape)}, {self.dim} coordinates and an input of {list(size)}; make the bundle again"
            )
        return CheckSet(pixels, codes.astype(np.int64), reference, neighbours)

    def recipe(self, target: str) -> Mapping[str, Any]:
        """How an engine is built on a device; docs/bundle.md lists the keys.

        Raises:
            UserError: there is no recipe for it; the devices that have one are named.
        """
        if target not in self.description.targets:
            there = ", ".join(self.description.targets) or "none"
            raise UserError(f"{self.folder}: has no recipe for '{target}'; there are: {there}")
        path = self.file(f"{DEPLOY}/{target}/{RECIPE}")
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: cannot be read ({error}); make the bundle again") from error
        if not isinstance(raw, dict):
            raise UserError(f"{path}: not a recipe; make the bundle again")
        return raw
