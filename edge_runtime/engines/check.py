"""Whether an engine answers as the student did: the bundle's check crops decide, before it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle import CheckSet
from edge_runtime.engines.engine import MODALITY, PIXELS, Engine, Feeds

GATES: Mapping[str, Mapping[str, float]] = {
    "fp32": {"cosine_min": 0.99999},
    "fp16": {"cosine_min": 0.999},
    "bf16": {"cosine_min": 0.99, "cosine_mean": 0.999},
    "int8": {"cosine_mean": 0.99},
}
"""Where a bundle has no bars of its own for a precision."""
_BATCH = 16


@dataclass(frozen=True)
class Verdict:
    """What an engine did with the check crops.

    Attributes:
        images: how many. nonfinite: embeddings with a NaN or an infinity.
        cosine_min, cosine_mean: with the student's, over the finite ones; NaN if there are none.
        neighbours: share of the stored nearest neighbours that are the engine's, too. No bar hangs on it: int8 keeps
            nine of ten and is allowed to.
        missed: bars that are missed, in words; empty: it may be used.
    """

    images: int
    nonfinite: int
    cosine_min: float
    cosine_mean: float
    neighbours: float
    missed: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; null where there is no number."""
        raw = {**asdict(self), "missed": list(self.missed)}
        return {name: None if isinstance(value, float) and isnan(value) else value for name, value in raw.items()}

    def __str__(self) -> str:
        bad = f"{self.nonfinite} of them not finite, " if self.nonfinite else ""
        return f"{self.images} check crops: {bad}cosine min {self.cosine_min:.6f}, mean {self.cosine_mean:.6f}"


def judge(engine: Engine, check: CheckSet, precision: str, gates: Mapping[str, Any]) -> Verdict:
    """Run the check crops through an engine.

    Args:
        gates: the bundle's bars by precision ("cosine_min", "cosine_mean"; null: none).

    Raises:
        UserError: the engine does not run.
    """
    found = over_batches(engine, check.pixels, check.codes, engine.largest or _BATCH)
    bad = ~np.isfinite(found).all(axis=1)
    wanted, given = _unit(check.reference), _unit(np.where(bad[:, None], 0, found))
    cosines = np.clip(np.einsum("ij,ij->i", wanted, given), -1, 1)[~bad]
    least = float(cosines.min()) if cosines.size else float("nan")
    mean = float(cosines.mean()) if cosines.size else float("nan")
    bars = gates.get(precision) or GATES[precision.partition("-")[0]]
    missed = [f"{int(bad.sum())} of {len(found)} embeddings are NaN or infinite"] if bad.any() else []
    for name, number in (("cosine_min", least), ("cosine_mean", mean)):
        bar = bars.get(name)
        # "not >=": what is no number misses every bar.
        if bar is not None and not number >= bar:
            missed.append(f"{name.replace('_', ' ')} is {number:.6f}; expected at least {bar:g}")
    return Verdict(len(found), int(bad.sum()), least, mean, _shared(given, check.neighbours), tuple(missed))


def over_batches(engine: Engine, pixels: NDArray[np.uint8], codes: NDArray[np.int64], size: int) -> NDArray[Any]:
    """float32 [n, k] of uint8 [n, H, W, 3], `size` at a time."""
    rows = []
    for start in range(0, len(pixels), size):
        part = slice(start, start + size)
        every: dict[str, NDArray[Any]] = {PIXELS: _planar(pixels[part]), MODALITY: codes[part]}
        feeds: Feeds = {name: every[name] for name in engine.inputs}
        rows.append(engine.run(feeds))
    return np.concatenate(rows)


def passed(verdict: Verdict, say: Callable[[str], None], what: str) -> bool:
    """Whether it may be used; if not, that is said."""
    if verdict.missed:
        say(f"{what}: not used, it does not answer as the student did ({'; '.join(verdict.missed)})")
    return not verdict.missed


def _planar(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), dtype=np.float32)


def _shared(given: NDArray[np.float64], neighbours: NDArray[np.int64]) -> float:
    """Share of `neighbours` [n, m] that are among the m nearest others by `given`."""
    if not neighbours.size:
        return float("nan")
    scores = given @ given.T
    np.fill_diagonal(scores, -np.inf)
    count = neighbours.shape[1]
    found = np.argpartition(-scores, count - 1, axis=1)[:, :count]
    return float(np.mean([np.isin(neighbours[row], found[row]).mean() for row in range(len(found))]))


def _unit(rows: NDArray[Any]) -> NDArray[np.float64]:
    wide = rows.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    unit = np.zeros_like(wide)
    np.divide(wide, lengths, out=unit, where=lengths > 0)
    return unit
