"""InfoNCE between modalities, with every sample of the same person as a positive."""

from __future__ import annotations

import torch
from torch import Tensor

from teacher.objective.pairs import cosines, modality_pairs, positives


def infonce(
    embeddings: Tensor, people: Tensor, modalities: Tensor, temperature: float = 0.05, *, within: bool = False
) -> Tensor:
    """Cross-entropy of finding the same person in the other modality.

    For one direction of a pair: L = mean_i mean_{j: same person} -log softmax_j(cos(i, j) / tau); the mean of both
    directions, then of the pairs. Positives are all samples of the person, never only the diagonal: a P x K batch holds
    several, which the plain form would push apart.

    Args:
        embeddings: [N, D].
        people: int64 [N]. modalities: int64 [N].
        temperature: tau.
        within: also each modality with itself.

    Returns:
        Scalar; samples without a positive in the other modality do not count. 0 if no pair has one.

    Source: Supervised Contrastive Learning (arXiv 2004.11362), equation 2, between modalities.
    """
    losses = []
    for one, other in modality_pairs(modalities, within=within):
        similarity = cosines(embeddings, one, other) / temperature
        same = positives(people, one, other)
        if bool(same.any()):
            losses.append((_cross_entropy(similarity, same) + _cross_entropy(similarity.T, same.T)) / 2)
    return torch.stack(losses).mean() if losses else embeddings.sum() * 0


def _cross_entropy(similarity: Tensor, same: Tensor) -> Tensor:
    rows = same.any(dim=1)
    log_p, same = similarity[rows].log_softmax(dim=1), same[rows]
    found = log_p.masked_fill(~same, 0).sum(dim=1)
    return -(found / same.sum(dim=1)).mean()
