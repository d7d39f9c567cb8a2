"""Several crops of one person as one embedding, the sharp and large ones counting more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reid.errors import UserError
from reid.similarity import Floats, normalise

SHARP = 100.0
"""Variance of the Laplacian at which a crop counts half; the usual border between blurred and sharp."""
LARGE = 128 * 64
"""Pixels from which on a crop counts fully: a smaller one has been enlarged before it was embedded."""
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def sharpness(crop: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of the crop's luma (grey levels squared); 0 if it is smaller than 3 x 3.

    Args:
        crop: [H, W, 3] RGB or [H, W] grey, uint8.

    Source: Pech-Pacheco et al., ICPR 2000; kernel 0 1 0 / 1 -4 1 / 0 1 0, without the border.
    """
    grey = crop.astype(np.float32) if crop.ndim == 2 else crop[..., :3].astype(np.float32) @ _LUMA
    if min(grey.shape) < 3:
        return 0.0
    centre = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * centre
    return float(laplacian.var())


def quality(crop: NDArray[np.uint8]) -> float:
    """Weight of a crop, from 0 to 1: s / (s + SHARP) * min(1, pixels / LARGE), with the sharpness s."""
    found = sharpness(crop)
    return found / (found + SHARP) * min(1.0, float(np.prod(crop.shape[:2])) / LARGE)


def fuse(embeddings: Floats, weights: Sequence[float] | None = None) -> Floats:
    """[k] mean of [n, k] embeddings, weighted, of length 1; the weights are equal if they are None or all 0.

    Raises:
        UserError: there is none, one is unusable (it is named), a weight is no weight, or they cancel out.
    """
    rows = np.asarray(embeddings)
    if rows.ndim != 2 or not len(rows):
        raise UserError(f"tracklet: embeddings have shape {rows.shape}; expected [crops, width] with a crop at least")
    rows = normalise(rows, [f"crop {i}" for i in range(len(rows))])
    weight = np.ones(len(rows)) if weights is None else np.asarray(weights, np.float64)
    if weight.shape != (len(rows),) or not (np.isfinite(weight) & (weight >= 0)).all():
        raise UserError(f"tracklet: {len(rows)} crops need as many weights of 0 or more; found {weight.tolist()}")
    if not weight.any():
        weight = np.ones(len(rows))
    mean: Floats = (weight / weight.max()) @ rows / len(rows)
    if np.linalg.norm(mean) < 1e-6:
        raise UserError("tracklet: the embeddings of its crops cancel out; they cannot be of one person")
    fused: Floats = normalise(mean[None])[0]
    return fused
