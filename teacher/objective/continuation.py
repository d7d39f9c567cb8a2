"""Saying what is said of a person: the language model's own loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

_ROWS = 1024
"""Tokens whose logits are in memory at a time: a vocabulary has 150,000 words."""


def continuation(states: Tensor, tokens: Tensor, head: Callable[[Tensor], Tensor], count: float) -> Tensor:
    """Cross-entropy of the tokens that are to be said, L = sum_i -log p(token_i | what is before it) / count.

    All samples of a person, images and sentences, are to be continued by one and the same sentence, so what the model
    makes of them has to agree in what the sentence says.

    Args:
        states: [n, D] hidden states after which a token is to be said. tokens: int64 [n].
        head: the model's lm_head. count: how many tokens the sum is divided by.

    Returns:
        Scalar in nats; log(vocabulary) is what knowing nothing scores.

    Source: Common Instruction of MLLMReID (arXiv 2401.13201).
    """
    total = states.new_zeros((), dtype=torch.float32)
    for its, wanted in zip(states.split(_ROWS), tokens.split(_ROWS), strict=True):
        total = (
            total + _sum(its, wanted, head)
            if len(tokens) <= _ROWS
            else total + checkpoint(_sum, its, wanted, head, use_reentrant=False)
        )
    return total / count


def _sum(states: Tensor, tokens: Tensor, head: Callable[[Tensor], Tensor]) -> Tensor:
    return functional.cross_entropy(head(states).float(), tokens, reduction="sum")
