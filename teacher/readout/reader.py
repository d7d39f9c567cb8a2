"""What all ways of reading an embedding share: what they are given, what they say of themselves, cameras."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from teacher.batch import Batch
from teacher.families import Visual
from teacher.readout.cameras import Cameras


@dataclass(frozen=True)
class States:
    """What the language model made of some rows.

    Attributes:
        hidden: [B, L, D], after the final norm, in the weights' dtype.
        first: int64 [B], the column of `input_ids` that the first of the L states belongs to.
    """

    hidden: Tensor
    first: Tensor

    def at(self, columns: Tensor) -> Tensor:
        """float32 [B, D], the states of the columns [B] of `input_ids`."""
        return self.hidden[torch.arange(len(columns), device=columns.device), columns - self.first].float()

    def detach(self) -> States:
        """The same without a way back for gradients."""
        return States(self.hidden.detach(), self.first)


class Reader(nn.Module, ABC):
    """A way of reading an embedding.

    Args:
        cameras: their embeddings, if `css` is "patches" or "token".
        at_patches: whether these are added to the patches.

    Attributes:
        needs_language: whether the language model is run for it.
        passes_gradient: whether the language model passes a gradient on.
    """

    needs_language = True
    passes_gradient = True

    def __init__(self, cameras: Cameras | None = None, *, at_patches: bool = True) -> None:
        super().__init__()
        self.cameras, self.at_patches = cameras, at_patches

    @abstractmethod
    def forward(self, batch: Batch, states: States | None, visual: Visual | None) -> Tensor:
        """Embeddings float32 [B, D].

        Args:
            batch: B samples that are all images or all sentences.
            states: what the language model made of them; None if `needs_language` is False.
            visual: what was seen; None for sentences.
        """

    def ends(self, batch: Batch) -> Tensor:
        """int64 [B], the columns of `input_ids` from which on it looks at nothing."""
        return batch["last"] + 1

    def patch_shift(self, batch: Batch) -> Tensor | None:
        """[images, width of the tower], what is added to each patch of an image; None for nothing."""
        if self.cameras is None or not self.at_patches:
            return None
        shift: Tensor = self.cameras(batch["cameras"][batch["counts"] > 0])
        return shift
