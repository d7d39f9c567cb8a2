"""Learning rates: one group of weights per level, each with its own rate and the stage from which it trains."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from math import cos, pi

from torch import nn

from teacher.lora import Matched, level_of
from teacher.settings import Recipe
from teacher.training.model import TrainableTeacher


@dataclass
class Group:
    """Weights with a common learning rate.

    Attributes:
        name: of the level, "neck" or "all".
        lr: at its highest. decay: weight decay. stage: from which on it trains.
        weights: the parameters.
    """

    name: str
    lr: float
    decay: float
    stage: int
    weights: list[nn.Parameter]


def parameter_groups(teacher: TrainableTeacher, recipe: Recipe, matched: Iterable[Matched]) -> list[Group]:
    """The trainable weights, by level and by whether they decay: vectors (norms, magnitudes, biases) do not."""
    groups: dict[tuple[str, bool], Group] = {}
    levels = list(matched)
    for name, weight in teacher.named_parameters():
        if not weight.requires_grad:
            continue
        level = level_of(name, levels)
        decays = weight.ndim > 1
        decay = recipe.training.weight_decay if decays else 0.0
        if name.startswith("neck."):
            group = Group("neck", recipe.training.neck_lr, decay, 0, [])
        elif level is not None:
            group = Group(level.name, level.level.lr, decay, level.level.stage, [])
        else:
            group = Group("all", recipe.tuning.lr, decay, 0, [])
        groups.setdefault((group.name, decays), group).weights.append(weight)
    return list(groups.values())


def stage_starts(epochs: Iterable[int], steps: int) -> list[int]:
    """The step with which each stage begins, of `steps` in all, in proportion to the stages' epochs."""
    lengths = list(epochs)
    before = [0, *accumulate(lengths)][:-1]
    return [round(steps * start / sum(lengths)) for start in before]


def factor(step: int, *, start: int, steps: int, warmup: int, scheduler: str) -> float:
    """What a group's learning rate is multiplied by.

    Args:
        step: from 0. start: the step with which the group's stage begins; the factor is 0 before.
        steps: of the whole training. warmup: steps in which it rises from `start` on.
        scheduler: "cosine" and "linear" fall to 0 at `steps`, "constant" does not fall.
    """
    if step < start:
        return 0.0
    rising = min(1.0, (step - start + 1) / max(1, warmup))
    share = min(1.0, step / max(1, steps))
    falling = {"cosine": (1 + cos(pi * share)) / 2, "linear": 1 - share, "constant": 1.0}[scheduler]
    return rising * falling
