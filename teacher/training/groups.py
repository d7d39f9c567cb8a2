"""Learning rates: one group of weights per level, each with its own rate and the stage from which it trains."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import cos, pi

from torch import nn

from teacher.lora import Matched, level_of
from teacher.settings import Recipe
from teacher.training.model import TrainableTeacher
from teacher.whole import WholePart, part_of

_MODEL, _READER, _NECK = "encoder.model.", "encoder.reader.", "neck."
"""How the names of weights begin in a `TrainableTeacher`."""


@dataclass
class Group:
    """Weights with a common learning rate.

    Attributes:
        name: of the level or the whole part, "readout", "neck" or "all".
        lr: at its highest. decay: weight decay.
        stage, until: the first and the last stage in which it trains; until None: to the end.
        weights: the parameters.
    """

    name: str
    lr: float
    decay: float
    stage: int
    until: int | None
    weights: list[nn.Parameter]


def parameter_groups(
    teacher: TrainableTeacher, recipe: Recipe, matched: Iterable[Matched], parts: Iterable[WholePart] = ()
) -> list[Group]:
    """The trainable weights, by level and by whether they decay: vectors (norms, magnitudes, biases) do not."""
    groups: dict[tuple[str, bool], Group] = {}
    levels, whole = list(matched), list(parts)
    for name, weight in teacher.named_parameters():
        if not weight.requires_grad:
            continue
        level = level_of(name, levels)
        part = part_of(name.removeprefix(_MODEL), whole)
        decays = weight.ndim > 1
        decay = recipe.training.weight_decay if decays else 0.0
        if name.startswith(_NECK):
            group = Group("neck", recipe.training.neck_lr, decay, 0, None, [])
        elif name.startswith(_READER):
            group = Group("readout", recipe.tuning.readout_lr, decay, 0, None, [])
        elif level is not None:
            group = Group(level.name, level.level.lr, decay, level.level.stage, level.level.until, [])
        elif part is not None:
            group = Group(part.name, part.settings.lr, decay, part.settings.stage, part.settings.until, [])
        else:
            group = Group("all", recipe.tuning.lr, decay, 0, None, [])
        groups.setdefault((group.name, decays), group).weights.append(weight)
    return list(groups.values())


def stage_starts(epochs: Iterable[int], steps: int) -> list[int]:
    """The step with which each stage begins, of `steps` in all, in proportion to the stages' epochs."""
    lengths = list(epochs)
    before = [0, *accumulate(lengths)][:-1]
    return [round(steps * start / sum(lengths)) for start in before]


def stage_shares(epochs: Iterable[int]) -> tuple[float, ...]:
    """The share of the training with which each stage begins."""
    lengths = list(epochs)
    return tuple(before / sum(lengths) for before in [0, *accumulate(lengths)][:-1])


def end_of(until: int | None, starts: Sequence[int]) -> int | None:
    """The step before which a group stops that trains up to and with stage `until`; None: it does not stop."""
    return None if until is None or until + 1 >= len(starts) else starts[until + 1]


def factor(step: int, *, start: int, steps: int, warmup: int, scheduler: str, end: int | None = None) -> float:
    """What a group's learning rate is multiplied by.

    Args:
        step: from 0. start: the step with which the group's stage begins; the factor is 0 before.
        end: the step from which on it is 0 again; None: there is none.
        steps: of the whole training. warmup: steps in which it rises from `start` on.
        scheduler: "cosine" and "linear" fall to 0 at `steps`, "constant" does not fall.
    """
    if step < start or (end is not None and step >= end):
        return 0.0
    rising = min(1.0, (step - start + 1) / max(1, warmup))
    share = min(1.0, step / max(1, steps))
    falling = {"cosine": (1 + cos(pi * share)) / 2, "linear": 1 - share, "constant": 1.0}[scheduler]
    return rising * falling
