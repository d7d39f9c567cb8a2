"""Principal component mapping."""

from __future__ import annotations

from torch import Tensor

_FLOOR = 1e-6
"""Of the largest variance: a component that never varies would weigh infinitely much with gamma > 0."""


def pcm(student: Tensor, target: Tensor, variances: Tensor, gamma: float = 0.0) -> Tensor:
    """Weighted squared error between the student's outputs and the teacher's principal coordinates.

    L = mean_i sum_j w_j (y_ij - z_ij)^2 / sum_j w_j lambda_j, w_j = lambda_j ^ -gamma

    Args:
        student: [B, k] outputs y.
        target: [B, k] the teacher's coordinates z = U^T (t / |t| - mu).
        variances: [k] lambda of these coordinates over the whole training store, > 0.
        gamma: 0 weighs components by their variance, as PCA does; 1 all alike, as whitening does; below 0 the leading
            ones still more.

    Returns:
        Scalar; 0 is perfect, about 1 is what always predicting the mean scores, whatever gamma.

    Source: Principal Component Mapping of MLLMEmbed-ReID (arXiv 2602.12936), with one centred basis of the whole
    training set in place of an uncentred one of each batch.
    """
    relative = (variances / variances.amax().clamp(min=1e-30)).clamp(min=_FLOOR)
    weights = relative**-gamma
    scale = (weights * relative).sum() * variances.amax().clamp(min=1e-30)
    return ((student - target).square() * weights).sum(dim=1).mean() / scale
