"""The hidden states at the places of the item: what the language model made of an image, or of a sentence."""

from __future__ import annotations

import torch
from torch import Tensor

from teacher.batch import Batch
from teacher.families import Visual
from teacher.readout.reader import Reader, States


class ImageLatents(Reader):
    """The mean over the item's tokens, of which there is one at least: visual tokens, or those of a caption.

    Source: DirectReID of MLLMReID (arXiv 2401.13201), for images; for sentences the same over their tokens.
    """

    def ends(self, batch: Batch) -> Tensor:
        """The item's end: what follows it in the prompt need not be run."""
        return batch["starts"] + batch["padding"] + batch["items"]

    def forward(self, batch: Batch, states: States | None, visual: Visual | None) -> Tensor:
        """float32 [B, D]."""
        assert states is not None
        begin = batch["starts"] + batch["padding"] - states.first
        column = torch.arange(states.hidden.shape[1], device=begin.device)
        inside = (column >= begin[:, None]) & (column < (begin + batch["items"])[:, None])
        weights = inside.float() / batch["items"].clamp(min=1)[:, None]
        return torch.einsum("bl,bld->bd", weights, states.hidden.float())
