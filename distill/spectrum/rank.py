"""How many coordinates: by energy, by entropy, by what retrieval keeps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


def energy(spectrum: Doubles) -> Doubles:
    """[D] share of the sum that the first 1, 2, ..., D eigenvalues hold. Negative rounding errors count as zero."""
    positive = np.maximum(spectrum, 0)
    return np.asarray(np.cumsum(positive) / max(positive.sum(), np.finfo(np.float64).tiny))


def by_energy(spectrum: Doubles, share: float) -> int:
    """The smallest k whose leading eigenvalues hold at least `share` of the sum.

    Args:
        spectrum: [D] eigenvalues in descending order.
        share: in (0, 1].
    """
    # A share of 1 must not ask for directions that rounding alone has filled.
    reached = energy(spectrum) >= share - 1e-12
    return int(np.argmax(reached)) + 1 if reached.any() else len(spectrum)


def effective_rank(spectrum: Doubles) -> float:
    """exp of the entropy of the normalised eigenvalues (Roy and Vetterli, 2007); between 1 and D."""
    positive = np.maximum(spectrum, 0)
    shares = positive[positive > 0] / max(positive.sum(), np.finfo(np.float64).tiny)
    return float(np.exp(-np.sum(shares * np.log(shares))))


def round_up(k: int, multiple: int, low: int, high: int) -> int:
    """k rounded up to a multiple, at least `low`, at most `high` (which is final and need not be a multiple)."""
    return min(max(-(-max(k, low) // multiple) * multiple, 1), high)


def by_ceiling(curve: Mapping[int, float], full: float, tolerance: float) -> int | None:
    """The smallest k from which on everything tested keeps the full score within a tolerance.

    Args:
        curve: k -> score of the first k coordinates, in per cent.
        full: score of the whole embedding, in per cent.
        tolerance: in points.

    Returns:
        None if the largest k falls short too.
    """
    chosen = None
    for k in sorted(curve, reverse=True):
        # 1e-9: a difference of exactly the tolerance must not hang on how two percentages were rounded.
        if curve[k] < full - tolerance - 1e-9:
            break
        chosen = k
    return chosen
