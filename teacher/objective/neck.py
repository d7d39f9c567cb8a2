"""The BNNeck: batch normalisation between the embedding and the identity classifier."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Neck(nn.Module):
    """Embedding -> normalised feature -> one logit per training person.

    The feature that is compared and the one that is classified are not the same: the classifier sees the feature after
    batch normalisation, whose shift is fixed at 0, and has no bias (Luo et al., arXiv 1903.07071).

    Args:
        width: D of the embedding. people: how many there are to tell apart.
        scale: if given, logits are this times the cosine between feature and class (arXiv 1801.07698 without margin).
    """

    def __init__(self, width: int, people: int, scale: float | None = None) -> None:
        super().__init__()
        self.scale = scale
        self.norm = nn.BatchNorm1d(width)
        self.norm.bias.requires_grad_(False)
        self.classifier = nn.Linear(width, people, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001 if scale is None else 1.0)

    def forward(self, embeddings: Tensor) -> Tensor:
        """float32 [N, D] -> feature after the normalisation, [N, D]."""
        normalised = self.norm(embeddings)
        assert isinstance(normalised, torch.Tensor)
        return normalised

    def logits(self, features: Tensor) -> Tensor:
        """[N, D] normalised features -> [N, people]."""
        if self.scale is None:
            return functional.linear(features, self.classifier.weight)
        unit, classes = functional.normalize(features, dim=1), functional.normalize(self.classifier.weight, dim=1)
        return self.scale * functional.linear(unit, classes)
