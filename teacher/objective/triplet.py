"""Batch-hard triplet loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def triplet(embeddings: Tensor, people: Tensor, margin: float | None = 0.3) -> Tensor:
    """For each sample, its farthest positive must be nearer than its nearest negative, by a margin.

    L = mean_i max(0, margin + max_{p: same person} d(i, p) - min_{n: other person} d(i, n)), d Euclidean between
    embeddings of length 1, whatever the modalities. Without a margin, softplus instead of the hinge.

    Args:
        embeddings: [N, D].
        people: int64 [N].
        margin: in distance, between 0 and 2; None for the soft margin.

    Returns:
        Scalar; samples without a positive or without a negative do not count. 0 if none counts.

    Source: In Defense of the Triplet Loss (Hermans et al., arXiv 1703.07737), equation 5.
    """
    unit = functional.normalize(embeddings, dim=1)
    # 1e-12 keeps the gradient of the root finite for a sample and itself.
    distance = (2 - 2 * unit @ unit.T).clamp(min=1e-12).sqrt()
    same = people[:, None] == people[None, :]
    other_sample = ~torch.eye(len(people), dtype=torch.bool, device=people.device)
    farthest = distance.masked_fill(~(same & other_sample), float("-inf")).amax(dim=1)
    nearest = distance.masked_fill(same, float("inf")).amin(dim=1)
    gap = farthest - nearest
    gap = gap[torch.isfinite(gap)]
    if not len(gap):
        return embeddings.sum() * 0
    return functional.softplus(gap).mean() if margin is None else functional.relu(gap + margin).mean()
