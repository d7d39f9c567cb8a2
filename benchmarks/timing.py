"""Wall time of calls and of a Trainer's steps, and how ratios are written."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from transformers import TrainerCallback


def seconds(call: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def spread(ratios: Sequence[float]) -> str:
    """Median, lowest and highest."""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


class Steps(TrainerCallback):
    """When each step began, and what was logged of waiting."""

    def __init__(self) -> None:
        self.begins: list[float] = []
        self.idle: list[float] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Note the time."""
        self.begins.append(time.perf_counter())

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Keep the idle share."""
        if logs and "idle" in logs:
            self.idle.append(logs["idle"])

    def seconds_a_step(self) -> float:
        """Mean from the third step on; the first ones also warm up."""
        return (self.begins[-1] - self.begins[2]) / (len(self.begins) - 3)
