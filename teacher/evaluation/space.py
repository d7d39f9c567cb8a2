"""How the modalities lie in the space: distances of their centres, and how near one person is to oneself in each."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan

import numpy as np
from numpy.typing import NDArray

from reid.modality import Modality
from reid.similarity import normalise
from reid.table import SampleTable, encode


@dataclass(frozen=True)
class Gap:
    """Two modalities.

    Attributes:
        one, other: which.
        centres: distance of the means of their embeddings of length 1, from 0 to 2.
        same, different: mean cosine of one person in both, and of two people; NaN where there is no such pair.
    """

    one: Modality
    other: Modality
    centres: float
    same: float
    different: float

    def row(self) -> dict[str, str]:
        """For a table."""
        return {
            "modalities": f"{self.one} - {self.other}",
            "centre distance": f"{self.centres:.3f}",
            "cosine, same person": _shown(self.same),
            "cosine, different people": _shown(self.different),
        }


def gaps(table: SampleTable, embeddings: NDArray[np.float32]) -> list[Gap]:
    """Every pair of modalities that there are samples of, from embeddings [n, D]."""
    unit = normalise(embeddings, table.sample_id)
    people = encode(table.person_id)
    rows = {m: np.flatnonzero([modality is m for modality in table.modality]) for m in Modality}
    rows = {m: found for m, found in rows.items() if found.size}
    means = {m: unit[found].mean(axis=0) for m, found in rows.items()}
    found_gaps = []
    for i, one in enumerate(rows):
        for other in list(rows)[i + 1 :]:
            same, different = _mean_cosines(unit, people, rows[one], rows[other])
            distance = float(np.linalg.norm(means[one] - means[other]))
            found_gaps.append(Gap(one, other, distance, same, different))
    return found_gaps


def _shown(cosine: float) -> str:
    return "-" if isnan(cosine) else f"{cosine:.3f}"


def _mean_cosines(
    unit: NDArray[np.float32], people: NDArray[np.int64], one: NDArray[np.int64], other: NDArray[np.int64]
) -> tuple[float, float]:
    """Mean cosine over the pairs of one person and over those of different people, by way of sums per person."""
    count = int(people.max()) + 1
    sums = [np.zeros((count, unit.shape[1])) for _ in range(2)]
    for total, rows in zip(sums, (one, other), strict=True):
        np.add.at(total, people[rows], unit[rows])
    pairs = np.bincount(people[one], minlength=count).astype(float) * np.bincount(people[other], minlength=count)
    same, everyone = float((sums[0] * sums[1]).sum()), float(sums[0].sum(axis=0) @ sums[1].sum(axis=0))
    n_same, n_all = pairs.sum(), float(one.size * other.size)
    apart = (everyone - same) / (n_all - n_same) if n_all > n_same else float("nan")
    return (same / n_same if n_same else float("nan")), apart
