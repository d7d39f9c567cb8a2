"""Similarity-preserving distillation."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def sp(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared error between the two sides' Gram matrices, each row brought to length 1.

    G = Y Y^T, L = mean_i |G_i / |G_i| - T_i / |T_i||^2

    Args:
        student: [B, d] outputs. teacher: [B, any width] of the same samples.

    Returns:
        Scalar from 0 to 4; 0 if the one side is the other turned or stretched, 1 is what zeros score.

    Source: Similarity-Preserving Knowledge Distillation (Tung and Mori, arXiv 1907.09682), on embeddings; they
    divide by B^2 where this divides by B, and weigh it by 3000.
    """
    unit, goal = (functional.normalize(rows @ rows.T, dim=1, eps=1e-12) for rows in (student, teacher))
    return (unit - goal).square().sum(dim=1).mean()
