"""Squared distance between embeddings of length 1."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def mse(student: Tensor, target: Tensor) -> Tensor:
    """Squared error between embedding and target, both brought to length 1.

    L = mean_i |y_i / |y_i| - z_i / |z_i||^2

    Args:
        student: [B, D] outputs y. target: [B, D] z.

    Returns:
        Scalar from 0 to 4; 2 is what any direction at a right angle to the target scores, 1 is what zeros score.

    Source: the embedding loss of LEAF (arXiv 2509.12539) and of CLIP-KD (arXiv 2307.12732), as a sum over
    coordinates instead of their mean, so that its size does not depend on D.
    """
    unit, goal = functional.normalize(student, dim=1, eps=1e-6), functional.normalize(target, dim=1, eps=1e-6)
    return (unit - goal).square().sum(dim=1).mean()
