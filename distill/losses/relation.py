"""Feature relation: who resembles whom in the batch, within and across modalities."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_SILENT = 1e-6
"""Mean squared cosine of a batch below which it has no relations to speak of."""


def relation(student: Tensor, teacher: Tensor, modalities: Tensor, cross: float = 1.0) -> Tensor:
    """Squared error between the cosines of all pairs in the batch, relative to the teacher's own.

    L = sum_{i != j} w_ij (cos(y_i, y_j) - cos(t_i, t_j))^2 / sum_{i != j} w_ij cos(t_i, t_j)^2,
    w_ij = `cross` where i and j are of two modalities, else 1

    Only relations count: turning or stretching either side as a whole changes nothing, and the two may differ in width.

    Args:
        student: [B, d] outputs.
        teacher: [B, any width] of the same samples: targets, or whole embeddings.
        modalities: int64 [B] codes.
        cross: weight of a pair of two modalities.

    Returns:
        Scalar; 0 is perfect, 1 is what a student scores to whom all are at right angles. 0 if no pair counts.

    Source: Feature Relation of MLLMEmbed-ReID (arXiv 2602.12936) on the batch's Gram matrix |Y Y^T - T T^T|_F^2 / B^2,
    here relative to the teacher's relations, so that its weight means the same at any width; similar to the
    similarity-preserving loss (arXiv 1907.09682).
    """
    unit, goal = functional.normalize(student, dim=1, eps=1e-6), functional.normalize(teacher, dim=1, eps=1e-6)
    weights = torch.where(modalities[:, None] == modalities[None, :], 1.0, cross).to(student.dtype)
    weights = weights - torch.diag(torch.diagonal(weights))
    wanted = goal @ goal.T
    size = (weights * wanted.square()).sum()
    error = (weights * (unit @ unit.T - wanted).square()).sum()
    # A teacher to whom all are strangers, such as centred embeddings of one and the same image, says nothing.
    return torch.where(size > _SILENT * weights.sum(), error / size.clamp(min=1e-12), error * 0)
