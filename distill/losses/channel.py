"""Feature relation between channels: correlations of the embedding's coordinates over the batch."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional


def channel(student: Tensor, target: Tensor, form: Literal["mse", "cosine"] = "mse") -> Tensor:
    """Difference of the two sides' D x D correlation matrices R, estimated from the batch.

    "mse": L = mean_ab (R^y_ab - R^z_ab)^2; "cosine": L = mean_a 1 - cos(R^y_a, R^z_a)

    From B samples an entry of R carries noise of about 1 / sqrt(B): this is the published form, kept for comparison.

    Args:
        student: [B, D] outputs y. target: [B, D] z.
        form: how the matrices are compared.

    Returns:
        Scalar from 0 to 4 ("mse") or to 2 ("cosine"). A channel that does not vary correlates with nothing.

    Source: Feature Relation as the scripts of MLLMEmbed-ReID (arXiv 2602.12936) compute it.
    """
    found, wanted = _correlations(student), _correlations(target)
    if form == "mse":
        return (found - wanted).square().mean()
    # A channel correlates with itself: a row is of length 1 or more, unless its channel does not vary.
    unit, goal = functional.normalize(found, dim=1, eps=0.5), functional.normalize(wanted, dim=1, eps=0.5)
    cosines = (unit * goal).sum(dim=1)
    # Nothing can be like a row of zeros; it does not count.
    counts = wanted.square().sum(dim=1) > 0
    return torch.where(counts, 1 - cosines, 0.0).sum() / counts.sum().clamp(min=1)


def _correlations(rows: Tensor) -> Tensor:
    """[B, D] -> [D, D]; 0 where a channel is constant."""
    centred = functional.normalize(rows - rows.mean(dim=0), dim=0, eps=1e-6)
    return centred.T @ centred
