"""Stochastic depth for backbones whose transformers class has none."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def add_stochastic_depth(blocks: nn.ModuleList, highest: float) -> None:
    """Let each residual block be skipped in training, per sample, at a rate that grows linearly from 0 to `highest`.

    A block computes x + f(x); in training it gives x + f(x) / (1 - rate) or, at this rate, x. The weights keep their
    names, because the blocks stay as they are: this is a hook on each. (Huang et al., arXiv 1603.09382)
    """
    for place, block in enumerate(blocks):
        rate = highest * place / max(1, len(blocks) - 1)
        if rate > 0:
            block.register_forward_hook(_Skip(rate))


class _Skip:
    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, block: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        if not block.training:
            return output
        entered: Tensor = inputs[0]
        kept = torch.rand(len(output), *[1] * (output.ndim - 1), device=output.device) >= self.rate
        return entered + (output - entered) * (kept.to(output.dtype) / (1 - self.rate))
