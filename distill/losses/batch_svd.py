"""Projections on the leading singular vectors of each batch: the published form of principal component mapping."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

_SMALLEST = 1e-6
"""Share of the largest singular value below which a direction is not one of the batch's."""


def batch_svd(student: Tensor, target: Tensor, rank: int = 50, form: Literal["mse", "cosine"] = "mse") -> Tensor:
    """Difference between student and teacher, both projected on the teacher's singular vectors in this batch.

    Z = P S V^T uncentred, V_k the first k right singular vectors; "mse": L = |Y V_k - Z V_k|_F^2 / |Z V_k|_F^2;
    "cosine": L = mean_i 1 - cos(y_i V_k, z_i V_k)

    The basis is another one in every batch, and its first direction mostly the mean: this is the published form, kept
    for comparison; `distill.losses.pcm` is ours.

    Args:
        student: [B, D] outputs y. target: [B, D] z.
        rank: k, at most; fewer where the batch has fewer directions.
        form: how the projections are compared.

    Returns:
        Scalar; 0 is perfect, 1 is what zeros score.

    Source: Principal Component Mapping as the scripts of MLLMEmbed-ReID (arXiv 2602.12936) compute it, there with the
    mean of the squares; here relative to the target's, so that its weight means the same at any scale.
    """
    _, values, directions = torch.linalg.svd(target.detach(), full_matrices=False)
    kept = values[:rank] > _SMALLEST * values[:1]
    basis: Tensor = (directions[:rank] * kept[:, None]).T
    found, wanted = student @ basis, target @ basis
    if form == "mse":
        return (found - wanted).square().sum() / wanted.square().sum().clamp(min=1e-12)
    unit, goal = functional.normalize(found, dim=1, eps=1e-6), functional.normalize(wanted, dim=1, eps=1e-6)
    return 1 - (unit * goal).sum(dim=1).mean()
