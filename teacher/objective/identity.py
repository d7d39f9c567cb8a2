"""Identity classification with label smoothing."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def identity(logits: Tensor, people: Tensor, smoothing: float = 0.1) -> Tensor:
    """Cross-entropy over the training people.

    Args:
        logits: [N, people], from the BNNeck (`teacher.objective.neck`).
        people: int64 [N], which person each sample shows.
        smoothing: share of the target that is spread over all people.

    Returns:
        Scalar; log(people) is what knowing nothing scores.

    Source: Bag of Tricks (Luo et al., arXiv 1903.07071); label smoothing of arXiv 1512.00567.
    """
    return functional.cross_entropy(logits, people, label_smoothing=smoothing)
