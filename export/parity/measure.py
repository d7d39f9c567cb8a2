"""How far embeddings of a graph are from those of the student that it was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reid.errors import UserError
from reid.modality import Modality
from reid.similarity import refuse_unusable

NEIGHBOURS = 10
TIE = 1e-6
"""Cosines nearer than this are equal: float32 embeddings do not tell such neighbours apart."""
_BLOCK = 512

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Parity:
    """n embeddings beside those that they should be. Cosines are of rows of length 1, over the finite rows.

    Attributes:
        images: n.
        nonfinite: values of the found embeddings that are NaN or infinite. nonfinite_rows: rows that have one.
        cosine_min, cosine_mean, cosine_p1: least, mean and first percentile; NaN if no row is finite.
        worst: the image of the least cosine, or the first whose embedding is not finite.
        neighbours: how many nearest others are compared: 10, but at most n - 2, so that there is a choice.
        neighbours10: share of them that both have; NaN with fewer than three images. A row that is not finite has no
            neighbours and is nobody's.
        modalities: the same for the images of each modality, among themselves.
    """

    images: int
    nonfinite: int
    nonfinite_rows: int
    cosine_min: float
    cosine_mean: float
    cosine_p1: float
    worst: str
    neighbours: int
    neighbours10: float
    modalities: Mapping[Modality, Parity] = field(default_factory=dict)

    @property
    def finite(self) -> bool:
        """Whether no value is NaN or infinite."""
        return not self.nonfinite

    def row(self) -> dict[str, str]:
        """For a table."""
        return {
            "images": str(self.images),
            "non-finite": str(self.nonfinite_rows),
            "cosine min": _shown(self.cosine_min, 6),
            "1 %": _shown(self.cosine_p1, 6),
            "mean": _shown(self.cosine_mean, 6),
            f"top-{NEIGHBOURS}": _shown(self.neighbours10, 4),
            "worst": self.worst,
        }

    def rows(self) -> list[dict[str, str]]:
        """For `reid.evaluation.format_table`: all images, then each modality."""
        each = [(str(modality), parity) for modality, parity in self.modalities.items()]
        return [{"of": of, **parity.row()} for of, parity in [("all", self), *each]]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; null where there is no number."""
        raw = {name: value for name, value in vars(self).items() if name != "modalities"}
        found = {name: None if isinstance(v, float) and isnan(v) else v for name, v in raw.items()}
        if self.modalities:
            found["modalities"] = {str(modality): parity.to_dict() for modality, parity in self.modalities.items()}
        return found

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], where: str) -> Parity:
        """The inverse of `to_dict`; `where` names the file in the error.

        Raises:
            UserError: a key is unknown or missing, or a value is of another kind.
        """
        try:
            each = {
                Modality.parse(name, where): cls.from_dict(value, where)
                for name, value in raw.get("modalities", {}).items()
            }
            values = {name: _read(name, value) for name, value in raw.items() if name != "modalities"}
            return cls(**values, modalities=each)
        except (TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{where}: not a parity report ({type(error).__name__}: {error})") from error

    def __str__(self) -> str:
        bad = f"{self.nonfinite_rows} not finite, " if self.nonfinite_rows else ""
        return (
            f"{self.images} images: {bad}cosine min {_shown(self.cosine_min, 6)}, mean {_shown(self.cosine_mean, 6)}, "
            f"1st percentile {_shown(self.cosine_p1, 6)}, top-{NEIGHBOURS} agreement {_shown(self.neighbours10, 4)}"
        )


def compare(
    reference: NDArray[np.floating],
    found: NDArray[np.floating],
    modalities: Sequence[Modality],
    *,
    names: Sequence[str] | None = None,
) -> Parity:
    """How far `found` is from `reference`, over all images and over those of each modality.

    Args:
        reference: [n, k], of the fp32 student. found: [n, k] of the same images; it may hold NaN and infinities.
        modalities: [n] of the images. names: [n] what to call them; by default "row 0", ...

    Raises:
        UserError: no images, or a row of `reference` is NaN, infinite or zero: the student itself is broken.
        ValueError: the shapes differ.
    """
    if reference.shape != found.shape or len(reference) != len(modalities):
        raise ValueError(f"reference {reference.shape}, found {found.shape}, {len(modalities)} modalities")
    if not len(reference):
        raise UserError("no images to compare embeddings of; name a data set that has some with --data")
    called = [f"row {row}" for row in range(len(reference))] if names is None else list(names)
    refuse_unusable(reference, called)
    rows_of = {
        modality: rows
        for modality in Modality
        if (rows := np.flatnonzero([which is modality for which in modalities])).size
    }
    each = {m: _measure(reference[rows], found[rows], [called[row] for row in rows]) for m, rows in rows_of.items()}
    return _measure(reference, found, called, each)


def _measure(
    reference: NDArray[np.floating],
    found: NDArray[np.floating],
    names: Sequence[str],
    modalities: Mapping[Modality, Parity] | None = None,
) -> Parity:
    wrong = ~np.isfinite(found)
    good = np.flatnonzero(~wrong.any(axis=1))
    bad = np.flatnonzero(wrong.any(axis=1))
    wanted, given = _unit(reference), _unit(np.where(np.isfinite(found), found, 0))
    cosines = np.clip(np.einsum("ij,ij->i", wanted[good], given[good]), -1, 1)
    worst = bad[0] if bad.size else good[cosines.argmin()]
    neighbours = max(0, min(NEIGHBOURS, len(reference) - 2))
    return Parity(
        images=len(reference),
        nonfinite=int(wrong.sum()),
        nonfinite_rows=int(bad.size),
        cosine_min=float(cosines.min()) if good.size else nan,
        cosine_mean=float(cosines.mean()) if good.size else nan,
        cosine_p1=float(np.percentile(cosines, 1)) if good.size else nan,
        worst=names[int(worst)],
        neighbours=neighbours,
        neighbours10=shared_neighbours(wanted, given, good, neighbours) if neighbours else nan,
        modalities=dict(modalities or {}),
    )


def shared_neighbours(wanted: Doubles, given: Doubles, good: NDArray[np.int64], count: int) -> float:
    """Mean share of the `count` nearest other rows by `given` that are among the nearest by `wanted`.

    A neighbour by `given` counts if its cosine by `wanted` is at least that of the last neighbour by `wanted`, less
    `TIE`: two copies of an image may change places.

    Args:
        wanted, given: [n, k], rows of length 1. good: places of the rows of `given` that are usable; the others have
            no neighbours and are nobody's. count: of neighbours, at least 1 and at most n - 1.
    """
    usable = np.zeros(len(wanted), dtype=np.bool_)
    usable[good] = True
    shared = 0
    for start in range(0, good.size, _BLOCK):
        rows = good[start : start + _BLOCK]
        before, after = wanted[rows] @ wanted.T, given[rows] @ given.T
        before[np.arange(rows.size), rows] = after[np.arange(rows.size), rows] = -np.inf
        after[:, ~usable] = -np.inf
        nearest = np.argsort(-after, axis=1, kind="stable")[:, :count]
        last = np.partition(before, -count, axis=1)[:, [-count]]
        there = np.take_along_axis(after, nearest, axis=1) > -np.inf
        shared += int((there & (np.take_along_axis(before, nearest, axis=1) >= last - TIE)).sum())
    return shared / (len(wanted) * count)


def _unit(rows: NDArray[np.floating]) -> Doubles:
    """Rows of length 1, in float64; a row of zeros stays one, and its cosine with everything is 0."""
    wide = rows.astype(np.float64)
    lengths = np.sqrt(np.einsum("ij,ij->i", wide, wide))[:, None]
    unit = np.zeros_like(wide)
    np.divide(wide, lengths, out=unit, where=lengths > 0)
    return unit


def _read(name: str, value: Any) -> Any:
    if name == "worst":
        return str(value)
    if value is None:
        return nan
    return float(value) if name.startswith("cosine") or name == "neighbours10" else int(value)


def _shown(value: float, digits: int) -> str:
    return "-" if isnan(value) else f"{value:.{digits}f}"
