"""Position embeddings of one grid of patches, resized to another."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def resize_positions(
    positions: Tensor, old: tuple[int, int], new: tuple[int, int], *, antialias: bool = False
) -> Tensor:
    """Bicubic, as transformers' `interpolate_pos_encoding`, but from any rectangle and not from squares alone.

    Args:
        positions: [1, special + old rows * old columns, C]; those of special tokens stay as they are.
        old, new: rows and columns.
        antialias: widen the kernel with the reduction, as the weights' own code does or does not.

    Returns:
        [1, special + new rows * new columns, C]; the same tensor if the grids are equal.
    """
    if old == new:
        return positions
    special = positions.shape[1] - old[0] * old[1]
    grid = positions[:, special:].unflatten(1, old).permute(0, 3, 1, 2)
    resized = functional.interpolate(grid.float(), new, mode="bicubic", align_corners=False, antialias=antialias)
    patches = resized.to(positions.dtype).permute(0, 2, 3, 1).flatten(1, 2)
    return torch.cat([positions[:, :special], patches], 1)
