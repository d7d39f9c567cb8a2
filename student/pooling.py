"""From tokens, or a map of features, to one vector for the person."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Pooling = Literal["cls", "mean", "cls_mean", "parts"]
STRIPES = 8
VECTORS: dict[str, int] = {"cls": 1, "mean": 1, "cls_mean": 2, "parts": STRIPES}
"""Name of a pooling -> how many vectors as wide as a token it gives."""


def pool(pooling: str, first: Tensor | None, grid: Tensor) -> Tensor:
    """The vectors that describe the image.

    Args:
        pooling: "cls": the class token. "mean": the mean over all places. "cls_mean": both. "parts": the means of 8
            horizontal stripes from head to feet (PCB, arXiv 1711.09349).
        first: [B, C] class token; None for families without one.
        grid: [B, rows, columns, C].

    Returns:
        [B, VECTORS[pooling], C]
    """
    if pooling == "parts":
        return torch.stack([grid[:, top:bottom].mean((1, 2)) for top, bottom in stripes(grid.shape[1])], 1)
    vectors = []
    if pooling != "mean":
        assert first is not None
        vectors.append(first)
    if pooling != "cls":
        vectors.append(grid.mean((1, 2)))
    return torch.stack(vectors, 1)


def stripes(rows: int) -> list[tuple[int, int]]:
    """First row, and the row after the last, of each stripe; they share rows if 8 does not divide `rows`.

    The rule is that of adaptive average pooling, which ONNX cannot say for such sizes.
    """
    return [(i * rows // STRIPES, -(-(i + 1) * rows // STRIPES)) for i in range(STRIPES)]
