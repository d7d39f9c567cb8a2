"""In-batch contrast between student and teacher."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def crd(student: Tensor, target: Tensor, people: Tensor, temperature: float = 0.07) -> Tensor:
    """Cross-entropy of finding a sample's teacher among the batch's, and its student likewise.

    For one direction: L = mean_i -log(exp(cos(y_i, z_i) / tau) / sum_j exp(cos(y_i, z_j) / tau)), j over i and the
    samples of other people; the mean of both directions. Another sample of the same person is neither to be found nor
    pushed away.

    Args:
        student: [B, d] outputs y. target: [B, d] z.
        people: int64 [B].
        temperature: tau.

    Returns:
        Scalar; 0 if there is one person only. Not 0 at a perfect student, whose gradient is not 0 either.

    Source: the in-batch form of Contrastive Representation Distillation (Tian et al., arXiv 1910.10699), which draws
    its negatives from a memory; InfoNCE of arXiv 1807.03748.
    """
    unit, goal = functional.normalize(student, dim=1, eps=1e-6), functional.normalize(target, dim=1, eps=1e-6)
    own = torch.arange(len(people), device=people.device)
    left_out = (people[:, None] == people[None, :]) & (own[:, None] != own[None, :])
    logits = (unit @ goal.T / temperature).masked_fill(left_out, float("-inf"))
    return (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2
