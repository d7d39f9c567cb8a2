"""How a training went, out of the Trainer's log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

TOTAL, MEAN, NORM = "loss", "mAP", "grad_norm"


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
        rates: learning rate of each group of weights. norms: length of the gradient.
    """

    losses: dict[str, Series]
    scores: dict[str, Series]
    rates: dict[str, Series]
    norms: dict[str, Series]


def history(log: Iterable[Mapping[str, Any]]) -> History:
    """Sort the rows of `transformers.TrainerState.log_history`."""
    told = History({}, {}, {}, {})
    alone = {TOTAL: told.losses, NORM: told.norms}
    beginning = {"term/": told.losses, "eval_": told.scores, "lr/": told.rates}
    for row in log:
        step = int(row.get("step", 0))
        for key, value in row.items():
            if key in alone:
                alone[key].setdefault(key, Series()).add(step, float(value))
            for start, group in beginning.items():
                if key.startswith(start):
                    group.setdefault(key.removeprefix(start), Series()).add(step, float(value))
    return told
