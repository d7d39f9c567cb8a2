"""Smooth L1 against the whitened teacher, for a head with orthonormal columns."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def vkd(student: Tensor, target: Tensor) -> Tensor:
    """L = mean_ij H(y_ij - LN(z_i)_j), H the Huber loss at 1, LN without weights.

    The projector P that gives y = P s is the student's head: `student.head: orthogonal` in a recipe.

    Args:
        student: [B, D] outputs y. target: [B, D] z, of any scale and shift.

    Returns:
        Scalar; 0 is perfect, between 0.3 and 0.5 is what zeros score.

    Source: VkD (Miles et al., arXiv 2403.06213), orthogonal projection and normalisation of the teacher.
    """
    return functional.smooth_l1_loss(student, functional.layer_norm(target, target.shape[1:]))
