"""Embeddings of cameras: what one does to a picture is told to the model, and need not be learnt as identity."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

UNKNOWN = -1


class Cameras(nn.Module):
    """One vector per camera that was trained on; any other camera has their mean.

    The vectors are zero at first, so that a base sees what it saw before.

    Args:
        kind: of the data set whose cameras they are; camera 1 of another one is another camera.
        names: camera ids. width: of the vectors.

    Attributes:
        known: whether samples are by these cameras; if not, all have the mean.

    Source: LVLM-ReID (arXiv 2411.18111), and the side information embedding of TransReID (arXiv 2102.04378).
    """

    def __init__(self, kind: str, names: Sequence[str], width: int) -> None:
        super().__init__()
        self.kind, self.names, self.known = kind, tuple(names), True
        self.vectors = nn.Parameter(torch.zeros(len(self.names), width))
        self._codes = {name: code for code, name in enumerate(self.names)}

    def codes(self, names: Iterable[str | None]) -> list[int]:
        """The row of each camera's vector, `UNKNOWN` for those without one."""
        if not self.known:
            return [UNKNOWN for _ in names]
        return [UNKNOWN if name is None else self._codes.get(name, UNKNOWN) for name in names]

    def forward(self, codes: Tensor) -> Tensor:
        """int64 [B] codes -> [B, width]."""
        rows = torch.cat([self.vectors, self.vectors.mean(dim=0, keepdim=True)])
        return rows[torch.where(codes == UNKNOWN, len(self.names), codes)]
