"""Cosine distance."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def cosine(student: Tensor, target: Tensor) -> Tensor:
    """L = mean_i 1 - cos(y_i, z_i).

    Args:
        student: [B, D] outputs y. target: [B, D] z.

    Returns:
        Scalar from 0 to 2; 1 is what any direction at a right angle to the target scores, and zeros.

    Source: `EmbedDistillLoss` of sentence-transformers with the cosine metric; NeMo's distillation of embedders.
    """
    unit, goal = functional.normalize(student, dim=1, eps=1e-6), functional.normalize(target, dim=1, eps=1e-6)
    return 1 - (unit * goal).sum(dim=1).mean()
