"""The k coordinates that a student aims at: a centre and a D x k matrix, and how they are kept on disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from reid.artifact import replacing
from reid.errors import UserError
from reid.modality import Modality
from reid.similarity import normalise

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]
Basis = Literal["principal", "between", "random", "full", "phi-s"]
Normalise = Literal["unit", "layer_norm"]

FILE = "subspace.safetensors"
_FORMAT = "reid-distill subspace 1"
_ARRAYS = ("mean", "basis", "variances", "spectrum")
_ABOUT = "subspace"
_BLOCK_ROWS = 4096
MODALITIES = {modality: code for code, modality in enumerate(Modality)}
"""The row that a modality's mean has."""


@dataclass(frozen=True)
class Subspace:
    """Coordinates z = (t / |t| - mean) @ basis of a teacher's embeddings t.

    Attributes:
        kind: how the basis was chosen. "principal": directions of largest variance; "between": of largest variance
            between people; "random": orthonormal, drawn; "full": all D dimensions as they are; "phi-s": all D
            directions, rotated and scaled so that each output has variance 1.
        mean: [1, D] float64 shared by all, or [4, D] with a row per modality in the order of `Modality`; zero if
            nothing is removed.
        basis: [D, k] float64. Its columns are orthonormal, except for "phi-s", where they are orthogonal.
        variances: [k] float64, the mean square of each coordinate over the samples that the subspace was made of.
        spectrum: [D] float64, all eigenvalues in descending order: of the covariance, or for "between" of that of the
            people's means.
        normalise: what is done to an embedding first. "unit": divided by its length; "layer_norm": its own mean
            removed, then divided by its own standard deviation.
        teacher: identity of what the embeddings came from (digest of the store's manifest).
    """

    kind: Basis
    mean: Doubles
    basis: Doubles
    variances: Doubles
    spectrum: Doubles
    normalise: Normalise = "unit"
    teacher: str = ""

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem:
            raise ValueError(problem)

    @property
    def dim(self) -> int:
        """Width D of the teacher's embeddings."""
        return len(self.basis)

    @property
    def rank(self) -> int:
        """Number k of coordinates."""
        return int(self.basis.shape[1])

    @property
    def by_modality(self) -> bool:
        """Whether each modality has a mean of its own."""
        return len(self.mean) > 1

    def project(self, embeddings: NDArray[np.floating], modalities: Sequence[Modality] | None = None) -> Floats:
        """Coordinates [n, k] float32 of the teacher's embeddings [n, D], of any float dtype and length.

        Args:
            embeddings: the rows.
            modalities: [n] theirs; needed if each modality has a mean of its own.

        Raises:
            UserError: a row is NaN, infinite or zero, or the width is another teacher's.
            ValueError: modalities are needed and missing, or of another number.
        """
        if embeddings.ndim != 2 or embeddings.shape[1] != self.dim:
            raise UserError(
                f"embeddings have shape {list(embeddings.shape)}, the subspace is of width {self.dim}; "
                "it was made from another teacher"
            )
        codes = self._codes(len(embeddings), modalities)
        basis, mean = self.basis.astype(np.float32), self.mean.astype(np.float32)
        out = np.empty((len(embeddings), self.rank), dtype=np.float32)
        for start in range(0, len(embeddings), _BLOCK_ROWS):
            part = slice(start, start + _BLOCK_ROWS)
            rows = normalised(embeddings[part], self.normalise)
            rows -= mean[codes[part]]
            np.matmul(rows, basis, out=out[part])
        return out

    def truncated(self, k: int) -> Subspace:
        """The first k coordinates.

        Raises:
            ValueError: there are not so many.
        """
        if not 1 <= k <= self.rank:
            raise ValueError(f"cannot keep {k} of {self.rank} coordinates")
        return replace(self, basis=self.basis[:, :k], variances=self.variances[:k])

    def save(self, path: Path) -> None:
        """Write a safetensors file, whole or not at all.

        Raises:
            UserError: it cannot be written.
        """
        from safetensors.numpy import save

        about = {"format": _FORMAT, "kind": self.kind, "normalise": self.normalise, "teacher": self.teacher}
        # One entry: safetensors writes several in any order, and equal subspaces are to give equal files.
        metadata = {_ABOUT: json.dumps(about, sort_keys=True)}
        data = save({name: np.ascontiguousarray(getattr(self, name)) for name in _ARRAYS}, metadata=metadata)
        with replacing(path) as part:
            part.write_bytes(data)

    @classmethod
    def load(cls, path: Path) -> Subspace:
        """Read what `save` wrote.

        Raises:
            UserError: no such file, or not a subspace, or one of a newer version.
        """
        from safetensors import SafetensorError, safe_open

        if not path.is_file():
            raise UserError(f"{path}: no such file; expected a subspace, as `distill spectrum` writes it")
        try:
            with safe_open(path, framework="numpy") as file:
                about = _about(file.metadata() or {})
                names = set(file.keys())
                if about.get("format") != _FORMAT or names != set(_ARRAYS):
                    found = about.get("format") or f"tensors {json.dumps(sorted(names)[:4])}"
                    raise UserError(f"{path}: not a subspace of this version; found {found}, expected '{_FORMAT}'")
                arrays = {name: np.asarray(file.get_tensor(name), dtype=np.float64) for name in _ARRAYS}
        except (SafetensorError, OSError) as error:
            raise UserError(f"{path}: not readable as safetensors ({error}); make or copy it again") from error
        try:
            return cls(
                cast(Basis, about.get("kind")), **arrays,
                normalise=cast(Normalise, about.get("normalise")), teacher=about.get("teacher", ""),
            )  # fmt: skip
        except ValueError as error:
            raise UserError(f"{path}: not a subspace: {error}; make or copy it again") from error

    def _codes(self, rows: int, modalities: Sequence[Modality] | None) -> NDArray[np.int64]:
        if not self.by_modality:
            return np.zeros(rows, dtype=np.int64)
        if modalities is None or len(modalities) != rows:
            got = "none" if modalities is None else str(len(modalities))
            raise ValueError(f"each modality has a mean of its own: expected {rows} modalities, got {got}")
        return np.array([MODALITIES[modality] for modality in modalities], dtype=np.int64)

    def _problem(self) -> str | None:
        if self.kind not in get_args(Basis) or self.normalise not in get_args(Normalise):
            return f"kind '{self.kind}' with normalise '{self.normalise}' is not known"
        if self.basis.ndim != 2 or not 1 <= self.basis.shape[1] <= len(self.basis):
            return f"a basis of shape {self.basis.shape} spans nothing"
        wanted = {"variances": (self.rank,), "spectrum": (self.dim,)}
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                return f"{name} has shape {getattr(self, name).shape}, expected {shape}"
        if self.mean.shape not in ((1, self.dim), (len(Modality), self.dim)):
            return f"mean has shape {self.mean.shape}, expected 1 or {len(Modality)} rows of {self.dim}"
        if not all(np.isfinite(getattr(self, name)).all() for name in _ARRAYS):
            return "a number in it is NaN or infinite"
        return None


def _about(metadata: dict[str, str]) -> dict[str, str]:
    """What a file says of itself; empty if it is no subspace."""
    try:
        found = json.loads(metadata.get(_ABOUT, "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def normalised(
    embeddings: NDArray[np.floating], how: Normalise, names: Sequence[str] | None = None, *, copy: bool = True
) -> Floats:
    """Embeddings [n, D] as float32, each divided by its length or standardised over its own dimensions.

    Args:
        embeddings: of any float dtype.
        how: "unit" or "layer_norm".
        names: [n] what to call the rows in an error.
        copy: False works in place if the array is float32 and contiguous, for callers that own it.

    Raises:
        UserError: a row is NaN, infinite or zero.
    """
    rows = normalise(embeddings, names, copy=copy)
    if how == "layer_norm":
        rows -= rows.mean(axis=1, keepdims=True)
        rows = normalise(rows, names, copy=False)
        # Of length sqrt(D), so that the standard deviation over the dimensions is 1.
        rows *= np.float32(np.sqrt(rows.shape[1]))
    return rows
