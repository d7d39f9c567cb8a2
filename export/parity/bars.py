"""What a precision has to reach, and what it misses in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isnan
from typing import Any

from export.parity.measure import Parity
from export.parity.retrieval import Retrieval
from reid.errors import UserError


@dataclass(frozen=True)
class Bars:
    """A precision's bars. None: no bar. No embedding of any precision may be NaN or infinite.

    Attributes:
        precision: its name.
        cosine_min, cosine_mean: at least, of an image's embedding with the fp32 student's.
        lost_map: points of mAP (per cent) that may be lost at most, mean over pairs of modalities.
    """

    precision: str
    cosine_min: float | None = None
    cosine_mean: float | None = None
    lost_map: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    def __str__(self) -> str:
        told = ["no value NaN or infinite"]
        told += [f"cosine min >= {self.cosine_min:g}"] if self.cosine_min is not None else []
        told += [f"cosine mean >= {self.cosine_mean:g}"] if self.cosine_mean is not None else []
        told += [f"at most {self.lost_map:g} points of mAP lost"] if self.lost_map is not None else []
        return ", ".join(told)


BARS: Mapping[str, Bars] = {
    # The same arithmetic in another order; ONNX Runtime and torch differ in the last bits.
    "fp32": Bars("fp32", cosine_min=0.99999),
    "fp16": Bars("fp16", cosine_min=0.999),
    # 8 bits of mantissa: a student without outliers reaches a min of 0.9999, one with outliers 0.886 (mean 0.957).
    # Between the two, and with a bar on what such an error does to a ranking.
    "bf16": Bars("bf16", cosine_min=0.99, cosine_mean=0.999, lost_map=0.5),
    "int8": Bars("int8", cosine_mean=0.99, lost_map=0.5),
}


def bars_of(precision: str) -> Bars:
    """The bars of a precision.

    Raises:
        UserError: there is no such precision.
    """
    if precision not in BARS:
        raise UserError(f"precision '{precision}' is not known; expected one of {', '.join(BARS)}")
    return BARS[precision]


def judge(parity: Parity, retrieval: Retrieval | None, bars: Bars) -> list[str]:
    """Each bar that is missed, with what was found and what was expected; empty if all are reached.

    Args:
        parity: of the graph. retrieval: before and after, if it was measured (see `unmeasured`). bars: to reach.
    """
    missed = []
    if parity.nonfinite:
        missed.append(
            f"{parity.nonfinite_rows} of {parity.images} embeddings are NaN or infinite, first that of "
            f"{parity.worst}; expected none"
        )
    # "not >=" and not "<": a cosine that is no number misses every bar.
    if bars.cosine_min is not None and not parity.cosine_min >= bars.cosine_min:
        least = _least(parity)
        missed.append(f"cosine min is {_shown(parity.cosine_min)}{least}; expected at least {bars.cosine_min:g}")
    if bars.cosine_mean is not None and not parity.cosine_mean >= bars.cosine_mean:
        missed.append(f"cosine mean is {_shown(parity.cosine_mean)}; expected at least {bars.cosine_mean:g}")
    if bars.lost_map is not None and retrieval is not None and not retrieval.lost <= bars.lost_map:
        pair = retrieval.worst
        missed.append(
            f"{retrieval.lost:.2f} points of mAP are lost on average over {len(retrieval.pairs)} pairs of modalities, "
            f"most in {pair.name} ({pair.reference.mean_ap:.2f} to {pair.found.mean_ap:.2f}); "
            f"expected at most {bars.lost_map:g}"
        )
    return missed


def unmeasured(retrieval: Retrieval | None, bars: Bars) -> list[str]:
    """Bars that nothing was measured for, in words: they are neither reached nor missed."""
    if bars.lost_map is None or retrieval is not None:
        return []
    return [
        f"the bar on mAP (at most {bars.lost_map:g} points lost) was not measured: there are no test people; "
        "name a data set that has some with --data"
    ]


def _least(parity: Parity) -> str:
    if parity.nonfinite_rows:
        return " over the finite rows"
    return f" (of {parity.worst})"


def _shown(value: float) -> str:
    return "no number" if isnan(value) else f"{value:.6f}"
