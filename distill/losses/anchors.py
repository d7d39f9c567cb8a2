"""Where a sample lies among the teacher's embeddings: what the edge's queries meet in a gallery of the cloud."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def anchors(student: Tensor, target: Tensor, others: Tensor, temperature: float = 0.07) -> Tensor:
    """KL divergence between the student's and the teacher's distribution of similarities to teacher embeddings.

    q_ij = softmax_j(cos(z_i, a_j) / tau), p_ij = softmax_j(cos(y_i, a_j) / tau), L = mean_i sum_j q_ij log(q_ij / p_ij)

    Args:
        student: [B, d] outputs y. target: [B, d] z.
        others: [A, d] the teacher's coordinates a of other samples, such as sentences, or of the batch itself.
        temperature: tau.

    Returns:
        Scalar; 0 is perfect.

    Source: SEED (Fang et al., arXiv 2101.04731), with the given embeddings as its queue and without a
    student's temperature of its own.
    """
    unit, goal, fixed = (functional.normalize(rows, dim=1, eps=1e-6) for rows in (student, target, others))
    found = (unit @ fixed.T / temperature).log_softmax(dim=1)
    wanted = (goal @ fixed.T / temperature).log_softmax(dim=1)
    return functional.kl_div(found, wanted, reduction="batchmean", log_target=True)
