"""What is said of a subspace: in words, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.spectrum.ceiling import Ceiling
from distill.spectrum.rank import by_energy, effective_rank
from reid.evaluation import format_table
from reid.modality import Modality
from reid.subspace import Basis

Doubles = NDArray[np.float64]
SHARES = (0.9, 0.95, 0.99)


@dataclass(frozen=True)
class Analysis:
    """How a subspace came about.

    Attributes:
        rank: the chosen number of coordinates. reason: why so many.
        basis: which basis.
        samples: how many embeddings of each modality were measured.
        energy: share of the variance that the chosen coordinates hold.
        spectrum: [D] all eigenvalues in descending order, as in `Subspace`.
        by_modality: [D] eigenvalues of each modality about its own mean.
        ceiling: retrieval of the projected teacher; None without validation people.
        warnings: what the user should know.
    """

    rank: int
    reason: str
    basis: Basis
    samples: Mapping[Modality, int]
    energy: float
    spectrum: Doubles
    by_modality: Mapping[Modality, Doubles]
    ceiling: Ceiling | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def effective_rank(self) -> float:
        """exp of the entropy of the spectrum."""
        return effective_rank(self.spectrum)

    def __str__(self) -> str:
        lines = [
            f"rank {self.rank}: {self.reason}",
            f"{100 * self.energy:.1f} % of the variance is kept (basis {self.basis})",
            "",
            format_table(self._rows()),
        ]
        if self.ceiling is not None:
            lines += ["", _asked(self.ceiling), format_table(ceiling_rows(self.ceiling, self.rank))]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "rank": self.rank,
            "reason": self.reason,
            "basis": self.basis,
            "energy": self.energy,
            "effective_rank": self.effective_rank,
            "ranks_by_energy": _by_energy(self.spectrum),
            "spectrum": self.spectrum.tolist(),
            "modalities": {
                str(modality): {
                    "samples": self.samples[modality],
                    "effective_rank": effective_rank(values),
                    "ranks_by_energy": _by_energy(values),
                    "spectrum": values.tolist(),
                }
                for modality, values in self.by_modality.items()
            },
            "ceiling": None if self.ceiling is None else self.ceiling.to_dict(),
            "warnings": self.warnings,
        }

    def _rows(self) -> list[dict[str, str]]:
        everything = {"all" if self.basis != "between" else "people's means": self.spectrum}
        each = {str(modality): values for modality, values in self.by_modality.items()}
        counts = [sum(self.samples.values()), *(self.samples[modality] for modality in self.by_modality)]
        return [
            {
                "spectrum of": name,
                "embeddings": str(count),
                "effective rank": f"{effective_rank(values):.1f}",
                **{f"k for {100 * float(share):g} %": str(k) for share, k in _by_energy(values).items()},
            }
            for (name, values), count in zip({**everything, **each}.items(), counts, strict=True)
        ]


def ceiling_rows(found: Ceiling, chosen: int) -> list[dict[str, str]]:
    """A row of mAP per k, and of the whole teacher; the chosen k is marked."""
    rows = [(f"{k} *" if k == chosen else str(k), scores) for k, scores in found.curve.items()]
    return [
        {
            "k": name,
            **{str(query): f"{score:.2f}" for query, score in scores.items()},
            "mean": f"{np.mean(list(scores.values())):.2f}",
        }
        for name, scores in [*rows, ("teacher", found.full)]
    ]


def _asked(found: Ceiling) -> str:
    queries = ", ".join(f"{count} {query}" for query, count in found.queries.items())
    return f"mAP of the projected teacher on validation people, {queries} asking for {found.gallery} (* chosen)"


def _by_energy(spectrum: Doubles) -> dict[str, int]:
    return {f"{share:g}": by_energy(spectrum, share) for share in SHARES}
