"""Which samples of a batch belong together, across pairs of modalities."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional


def modality_pairs(modalities: Tensor, *, within: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
    """Row numbers of the samples of each two modalities that are in the batch, in a fixed order.

    Args:
        modalities: int64 [N] codes.
        within: also each modality with itself.

    Yields:
        (rows of the one [a], rows of the other [b]).
    """
    rows = {int(code): torch.nonzero(modalities == code)[:, 0] for code in torch.unique(modalities)}
    for one, other in combinations(rows, 2):
        yield rows[one], rows[other]
    if within:
        for same in rows.values():
            yield same, same


def positives(people: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """bool [a, b]: whether two samples show the same person and are not one and the same sample."""
    return (people[one][:, None] == people[other][None, :]) & (one[:, None] != other[None, :])


def cosines(embeddings: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """[a, b] cosine similarities; a sample with itself gets -inf, so that it takes part in no softmax."""
    unit = functional.normalize(embeddings, dim=1)
    itself = one[:, None] == other[None, :]
    return (unit[one] @ unit[other].T).masked_fill(itself, float("-inf"))
