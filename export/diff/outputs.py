"""How much the tensors of two graphs differ, on the same crops, in a typed evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, nan

import numpy as np
import onnx
from numpy.typing import NDArray

from export.crops import Crops
from export.precision.typed import TypedEvaluator

_AT_ONCE = 4
"""Crops whose tensors are held at once."""


@dataclass(frozen=True)
class Departs:
    """A tensor of B beside the same one of A.

    Attributes:
        error: greatest |a - b|, relative to the greatest |a|; infinite if a value of B alone is not finite.
        cosine: of both as one long vector each, over what is finite in both.
        nonfinite: values that are NaN or infinite in B and not in A.
    """

    error: float
    cosine: float
    nonfinite: int


@dataclass
class _Sums:
    greatest: float = 0.0
    error: float = 0.0
    aa: float = 0.0
    bb: float = 0.0
    ab: float = 0.0
    nonfinite: int = 0

    def add(self, a: NDArray[np.float32], b: NDArray[np.float32]) -> None:
        both = np.isfinite(a) & np.isfinite(b)
        self.nonfinite += int((np.isfinite(a) & ~np.isfinite(b)).sum())
        one, other = a[both].astype(np.float64), b[both].astype(np.float64)
        if one.size:
            self.greatest = max(self.greatest, float(np.abs(one).max()))
            self.error = max(self.error, float(np.abs(one - other).max()))
            self.aa, self.bb = self.aa + float(one @ one), self.bb + float(other @ other)
            self.ab += float(one @ other)

    def departs(self) -> Departs:
        length = (self.aa * self.bb) ** 0.5
        # Two tensors of zeros are alike.
        cosine = min(1.0, self.ab / length) if length else (1.0 if self.aa == self.bb else nan)
        if self.nonfinite:
            return Departs(inf, cosine, self.nonfinite)
        relative = self.error / self.greatest if self.greatest else (inf if self.error else 0.0)
        return Departs(relative, cosine, 0)


def departures(
    a: onnx.ModelProto, b: onnx.ModelProto, pairs: Mapping[str, tuple[str, str]], crops: Crops, *, threads: int = 0
) -> dict[str, Departs]:
    """How far each pair of tensors is apart.

    Args:
        a, b: graphs that take the same crops.
        pairs: key -> (tensor of a, tensor of b); those that a typed evaluation does not give are left out.
        crops: what both are run on. threads: of the evaluation.
    """
    one, other = TypedEvaluator(a, threads=threads), TypedEvaluator(b, threads=threads)
    sums: dict[str, _Sums] = {}
    for part in crops.batches(_AT_ONCE):
        before = one.tensors(part, [name for name, _ in pairs.values()])
        after = other.tensors(part, [name for _, name in pairs.values()])
        for key, (mine, theirs) in pairs.items():
            if mine in before and theirs in after and before[mine].shape == after[theirs].shape:
                sums.setdefault(key, _Sums()).add(before[mine], after[theirs])
    return {key: total.departs() for key, total in sums.items()}
