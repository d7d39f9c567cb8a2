"""A moving average of the weights: what is validated and kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainerCallback


class MovingAverage:
    """Weights and statistics of a module, averaged over the steps of its training.

    The decay begins small, so that the average does not remember the random beginning: min(decay, (1 + t) / (10 + t)).

    Args:
        module: what trains. decay: per step; 0: the average is the module as it is.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay = module, decay
        self.average = {name: value.detach().clone() for name, value in self._state().items()} if decay else {}

    def update(self, step: int) -> None:
        """After optimiser step number `step`, from 1."""
        if not self.average:
            return
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        state = self._state()
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.values()), [state[name] for name in self.average], weight)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the context the module has the averaged weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _state(self) -> dict[str, Tensor]:
        return {name: value for name, value in self.module.state_dict().items() if value.is_floating_point()}

    def _swap(self) -> None:
        state = self._state()
        with torch.no_grad():
            for name, value in self.average.items():
                now = state[name].clone()
                state[name].copy_(value)
                value.copy_(now)


class UpdateAverage(TrainerCallback):
    """Updates the average after each step of the optimiser."""

    def __init__(self, average: MovingAverage) -> None:
        self.average = average

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """`global_step` counts this step already."""
        self.average.update(state.global_step)
