"""The recipes of the published methods in small, trained for a step or two on the small bases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from small_models import SMALL
from transformers import TrainerCallback

from reid.dataset import Dataset
from teacher.recipe import load_recipe
from teacher.settings import Recipe
from teacher.training import run
from teacher.training.run import train

LVLM = [
    "image={height: 56, width: 28}",
    "sampling={people: 4, per_person: 4}",
    "training={epochs: [1], recompute: false, log_every: 1}",
    "readout.interaction={layers: 2, heads: 4, ratio: 1, places: true}",
]
MLLM = [*LVLM[:2], "training={epochs: [1, 1], recompute: false, log_every: 1}", "tuning.levels.language.rank=2"]
assert SMALL["image"] == {"height": 56, "width": 28}


def small(method: str, *changes: str) -> Recipe:
    """lvlm-reid or mllmreid, with changes."""
    return load_recipe(method, [*(LVLM if method == "lvlm-reid" else MLLM), *changes])


def train_small(
    out: Path, people: Dataset, base_of: Callable[..., Path], how: Recipe, family: str = "qwen2_vl", **more: object
) -> list[str]:
    """Train on the CPU; what was said."""
    told: list[str] = []
    options: dict[str, object] = {"device": "cpu", "say": told.append, **more}
    train(people, how, out, base=str(base_of(family)), **options)  # type: ignore[arg-type]
    return told


def lines_with(told: Sequence[str], word: str) -> list[str]:
    """The lines that have a word."""
    return [line for line in told if word in line]


def train_until(
    step: int, out: Path, people: Dataset, base_of: Callable[..., Path], how: Recipe, family: str = "qwen2_vl"
) -> None:
    """Train and stop as if killed after this step."""
    made = run.make_trainer

    def with_kill(*args: Any, **options: Any) -> Any:
        trainer = made(*args, **options)
        trainer.add_callback(_Kill(step))
        return trainer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "make_trainer", with_kill)
        with pytest.raises(KeyboardInterrupt):
            train_small(out, people, base_of, how, family)


class _Kill(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            raise KeyboardInterrupt
