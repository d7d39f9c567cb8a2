"""Similarity-distribution matching between modalities."""

from __future__ import annotations

import torch
from torch import Tensor

from teacher.objective.pairs import cosines, modality_pairs, positives

_EPSILON = 1e-8


def sdm(
    embeddings: Tensor, people: Tensor, modalities: Tensor, temperature: float = 0.05, *, within: bool = False
) -> Tensor:
    """KL divergence from the softmax of similarities to the distribution of true matches, over pairs of modalities.

    For one direction of a pair: p_ij = softmax_j(cos(i, j) / tau), q_ij = [same person] / #positives of i,
    L = mean_i sum_j p_ij (log p_ij - log(q_ij + 1e-8)); both directions are added; the mean over the pairs is taken.

    Args:
        embeddings: [N, D].
        people: int64 [N]. modalities: int64 [N].
        temperature: tau.
        within: also match each modality with itself.

    Returns:
        Scalar; samples without a positive in the other modality do not count. 0 if no pair has one.

    Source: IRRA (arXiv 2303.12501), equations 5 to 7, over all pairs as in MLLMEmbed-ReID (arXiv 2602.12936).
    """
    losses = []
    for one, other in modality_pairs(modalities, within=within):
        similarity = cosines(embeddings, one, other) / temperature
        same = positives(people, one, other)
        directions = [_divergence(similarity, same), _divergence(similarity.T, same.T)]
        losses += [sum(directions[1:], directions[0])] if bool(same.any()) else []
    return torch.stack(losses).mean() if losses else embeddings.sum() * 0


def _divergence(similarity: Tensor, same: Tensor) -> Tensor:
    """[a, b] similarities over tau and matches -> scalar over the rows that have a match."""
    rows = same.any(dim=1)
    similarity, same = similarity[rows], same[rows].to(similarity.dtype)
    log_p = similarity.log_softmax(dim=1)
    target = same / same.sum(dim=1, keepdim=True)
    # A sample and itself: p = 0, and 0 * -inf is to count as 0, in the gradient too.
    finite = log_p.masked_fill(torch.isneginf(log_p), 0)
    return (log_p.exp() * (finite - torch.log(target + _EPSILON))).sum(dim=1).mean()
