"""How far a student is its teacher, whatever either of them retrieves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.evaluation.coordinates import Coordinates, Floats
from distill.evaluation.scores import usable
from distill.spectrum.rank import effective_rank
from reid.modality import Modality
from reid.similarity import normalise

NEIGHBOURS = 10
PAIRS = 500_000
"""Pairs of samples whose similarities are compared; of more, that many are drawn."""
QUERIES = 2000
"""Samples whose neighbours are compared; of more, that many are drawn."""
_BLOCK = 256


@dataclass(frozen=True)
class Agreement:
    """A student y beside the coordinates z of its teacher, over some samples. NaN where there are too few samples.

    Attributes:
        samples: how many.
        cosine: mean cosine of y and z of one sample.
        spearman: rank correlation of the cosines of pairs of samples, among y and among z.
        overlap: share of a sample's 10 nearest by z that are among its 10 nearest by y; with fewer than 11 samples,
            of all but one of the others.
        student_rank, teacher_rank: effective rank of y and of z, both of length 1, about their mean: exp of the
            entropy of the shares of variance (Roy and Vetterli, 2007).
    """

    samples: int
    cosine: float
    spearman: float
    overlap: float
    student_rank: float
    teacher_rank: float

    def row(self) -> dict[str, str]:
        """For a table."""
        return {
            "samples": f"{self.samples:,}",
            "mean cosine": _shown(self.cosine, 3),
            "Spearman": _shown(self.spearman, 3),
            "top-10 overlap": _shown(self.overlap, 3),
            "effective rank": _shown(self.student_rank, 1),
            "of the teacher": _shown(self.teacher_rank, 1),
        }

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; null where there were too few samples."""
        return {name: None if isnan(value) else value for name, value in vars(self).items()}


def agreements(coordinates: Coordinates, *, seed: int = 0) -> dict[Modality | None, Agreement]:
    """The agreement over all samples that the device can read (key None), then over those of each modality alone.

    Args:
        coordinates: of the samples. seed: of the pairs and samples that are drawn where there are many.
    """
    groups: dict[Modality | None, NDArray[np.int64]] = {None: np.flatnonzero(coordinates.answered)}
    for modality in Modality:
        rows = coordinates.rows(modality)
        if (rows := rows[coordinates.answered[rows]]).size:
            groups[modality] = rows
    return {who: agreement(coordinates.edge[rows], coordinates.cloud[rows], seed=seed) for who, rows in groups.items()}


def agreement(student: Floats, teacher: Floats, *, seed: int = 0) -> Agreement:
    """The agreement of coordinates y [n, k] and z [n, k] of the same samples.

    Raises:
        UserError: a row is NaN or infinite.
    """
    y, z = normalise(usable(student)), normalise(usable(teacher))
    return Agreement(
        len(y),
        float(np.einsum("ij,ij->i", y, z).mean()) if len(y) else float("nan"),
        spearman(y, z, seed=seed),
        top_overlap(y, z, seed=seed),
        rank_of(y),
        rank_of(z),
    )


def spearman(y: Floats, z: Floats, *, pairs: int = PAIRS, seed: int = 0) -> float:
    """Spearman's correlation of the cosines of pairs of samples among y and among z.

    Args:
        y, z: [n, any width], rows of length 1.
        pairs: how many pairs are drawn if there are more; with replacement, each of two different samples.
        seed: which.
    """
    from scipy.stats import spearmanr

    n = len(y)
    if n * (n - 1) // 2 <= pairs:
        one, other = np.triu_indices(n, 1)
    else:
        generator = np.random.default_rng(seed)
        one = generator.integers(n, size=pairs)
        other = (one + generator.integers(1, n, size=pairs)) % n
    ours, theirs = _cosines(y, one, other), _cosines(z, one, other)
    # Where all similarities are equal there is no order to agree on.
    if one.size < 2 or not np.ptp(ours) or not np.ptp(theirs):
        return float("nan")
    return float(spearmanr(ours, theirs).statistic)


def top_overlap(y: Floats, z: Floats, *, neighbours: int = NEIGHBOURS, queries: int = QUERIES, seed: int = 0) -> float:
    """Mean share of a sample's nearest other samples by z that are among its nearest by y.

    Args:
        y, z: [n, any width], rows of length 1.
        neighbours: how many; at most n - 2, so that there is something to choose.
        queries: how many samples are drawn if there are more. seed: which.
    """
    n = len(y)
    neighbours = min(neighbours, n - 2)
    if neighbours < 1:
        return float("nan")
    asking = np.arange(n) if n <= queries else np.sort(np.random.default_rng(seed).permutation(n)[:queries])
    shared = 0
    for start in range(0, len(asking), _BLOCK):
        rows = asking[start : start + _BLOCK]
        near = np.zeros((len(rows), n), dtype=np.bool_)
        np.put_along_axis(near, _nearest(z, rows, neighbours), True, axis=1)
        shared += int(np.take_along_axis(near, _nearest(y, rows, neighbours), axis=1).sum())
    return shared / (len(asking) * neighbours)


def rank_of(rows: Floats) -> float:
    """Effective rank of samples [n, k] about their mean; NaN if they are all alike."""
    if len(rows) < 2:
        return float("nan")
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    spectrum = np.linalg.eigvalsh(centred.T @ centred)[::-1]
    return effective_rank(spectrum) if spectrum.max() > 1e-12 else float("nan")


def table(found: Mapping[Modality | None, Agreement]) -> list[dict[str, str]]:
    """Rows for `format_table`."""
    return [{"of": "all" if who is None else str(who), **each.row()} for who, each in found.items()]


def _cosines(rows: Floats, one: NDArray[np.int64], other: NDArray[np.int64]) -> Floats:
    """Of row one[i] with row other[i], in blocks: a pair's rows are gathered, so all at once would be large."""
    out = np.empty(one.size, dtype=np.float32)
    for start in range(0, one.size, 8192):
        part = slice(start, start + 8192)
        np.einsum("ij,ij->i", rows[one[part]], rows[other[part]], out=out[part])
    return out


def _nearest(rows: Floats, asking: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """[q, count] the most similar other rows of each row asked for; of equals, the first."""
    similar = rows[asking] @ rows.T
    similar[np.arange(len(asking)), asking] = -np.inf
    return np.argsort(-similar, axis=1, kind="stable")[:, :count]


def _shown(value: float, digits: int) -> str:
    return "-" if isnan(value) else f"{value:.{digits}f}"
