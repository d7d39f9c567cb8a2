"""Modality-centre alignment."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from teacher.objective.pairs import modality_pairs


def centres(embeddings: Tensor, people: Tensor, modalities: Tensor) -> Tensor:
    """Squared distance between a person's centres in two modalities, over people and pairs of modalities.

    L = mean over pairs (a, b) of modalities of mean over people seen in both of |c_a - c_b|^2, where c is the mean of
    the person's embeddings of length 1 in that modality. It pulls the modalities' clouds together without asking
    anything of who is near whom within them.

    Args:
        embeddings: [N, D].
        people: int64 [N]. modalities: int64 [N].

    Returns:
        Scalar from 0 to 4; 0 if nobody was seen in two modalities.

    Source: hetero-centre loss (Zhu et al., arXiv 1910.09830), equation 3, on normalised embeddings.
    """
    unit = functional.normalize(embeddings, dim=1)
    names, codes = torch.unique(people, return_inverse=True)
    losses = []
    for one, other in modality_pairs(modalities):
        (centre, seen), (others, also) = (_centres(unit[rows], codes[rows], len(names)) for rows in (one, other))
        both = seen & also
        if bool(both.any()):
            losses.append((centre[both] - others[both]).square().sum(dim=1).mean())
    return torch.stack(losses).mean() if losses else embeddings.sum() * 0


def _centres(unit: Tensor, codes: Tensor, people: int) -> tuple[Tensor, Tensor]:
    """Mean embedding [people, D] of each person, and who was seen [people]."""
    total = unit.new_zeros(people, unit.shape[1]).index_add(0, codes, unit)
    count = torch.bincount(codes, minlength=people)
    return total / count.clamp(min=1)[:, None], count > 0
