"""The vision tower alone: the baseline of the methods that run a language model behind it."""

from __future__ import annotations

from torch import Tensor

from teacher.batch import Batch
from teacher.families import Visual
from teacher.readout.reader import Reader, States


class VisualTokens(Reader):
    """The mean of the visual tokens as the connector gives them; the language model is not run."""

    needs_language = False

    def forward(self, batch: Batch, states: States | None, visual: Visual | None) -> Tensor:
        """float32 [B, D]."""
        assert visual is not None
        return visual.tokens.float().mean(dim=1)
