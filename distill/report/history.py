"""How a training went, out of the Trainer's log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

TOTAL, MEAN = "loss", "mAP"
_TERM, _SCORE, _RATE = "term/", "eval_", "lr/"


@dataclass
class Series:
    """Values over steps, in the order of the steps."""

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, step: int, value: float) -> None:
        """One more; what is not finite cannot be drawn."""
        if isfinite(value):
            self.steps.append(step)
            self.values.append(value)

    def at(self, step: int) -> float | None:
        """The value at a step, if there is one."""
        return self.values[self.steps.index(step)] if step in self.steps else None


@dataclass(frozen=True)
class History:
    """What the log tells.

    Attributes:
        losses: `TOTAL`, then each term by name, unweighted. scores: `MEAN`, then each protocol by name, in per cent.
        rates: learning rate of each group of weights.
    """

    losses: dict[str, Series]
    scores: dict[str, Series]
    rates: dict[str, Series]


def history(log: Iterable[Mapping[str, Any]]) -> History:
    """Sort the rows of `transformers.TrainerState.log_history`."""
    told = History({}, {}, {})
    for row in log:
        step = int(row.get("step", 0))
        for key, value in row.items():
            if key == TOTAL:
                told.losses.setdefault(TOTAL, Series()).add(step, float(value))
            elif key.startswith(_TERM):
                told.losses.setdefault(key.removeprefix(_TERM), Series()).add(step, float(value))
            elif key.startswith(_SCORE):
                told.scores.setdefault(key.removeprefix(_SCORE), Series()).add(step, float(value))
            elif key.startswith(_RATE):
                told.rates.setdefault(key.removeprefix(_RATE), Series()).add(step, float(value))
    return told
