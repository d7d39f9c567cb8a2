"""Parts of the model of which every weight trains: which they are, how they are marked, what a checkpoint holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reid.errors import UserError
from reid.evaluation import format_table
from teacher.families import Family
from teacher.settings import Whole


@dataclass(frozen=True)
class WholePart:
    """A part that trains whole.

    Attributes:
        name: in the recipe. settings: its section. weights: full names of its weights, in the model's order.
    """

    name: str
    settings: Whole
    weights: tuple[str, ...]


def match_parts(model: nn.Module, family: Family, parts: Mapping[str, Whole]) -> list[WholePart]:
    """Find the weights of each part.

    Raises:
        UserError: a part has none.
    """
    found = []
    for name, settings in parts.items():
        pattern = family.weights[settings.part]
        weights = tuple(weight for weight, _ in model.named_parameters() if re.fullmatch(pattern, weight))
        if not weights:
            raise UserError(f"tuning.whole.{name}: no weight of this {family.name} matches {pattern}")
        found.append(WholePart(name, settings, weights))
    return found


def describe_parts(parts: Iterable[WholePart], model: nn.Module) -> str:
    """The table of whole parts that is printed before a training."""
    rows = [
        {
            "whole": part.name,
            "part": part.settings.part,
            "lr": f"{part.settings.lr:g}",
            "stage": str(part.settings.stage),
            "weights": f"{sum(model.get_parameter(name).numel() for name in part.weights):,}",
        }
        for part in parts
    ]
    return format_table(rows)


def mark_parts(model: nn.Module, parts: Iterable[WholePart]) -> None:
    """Let their weights train, in float32: steps of a small learning rate are lost in bfloat16."""
    for part in parts:
        for name in part.weights:
            weight = model.get_parameter(name)
            weight.data = weight.data.float()
            weight.requires_grad_(True)


def part_of(parameter: str, parts: Iterable[WholePart]) -> WholePart | None:
    """The part that a parameter belongs to, by its full name in the model; None if it belongs to none."""
    return next((part for part in parts if parameter in part.weights), None)


def weights_of(model: nn.Module, parts: Iterable[WholePart]) -> dict[str, Tensor]:
    """Full name -> weight, of all parts."""
    return {name: model.get_parameter(name) for part in parts for name in part.weights}


def put_weights(places: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> int:
    """Copy weights into their places, whose names and shapes agree; returns how many differed from what was there."""
    changed = 0
    with torch.no_grad():
        for name, place in places.items():
            value = found[name].to(place.device, place.dtype)
            changed += not torch.equal(place, value)
            place.copy_(value)
    return changed
