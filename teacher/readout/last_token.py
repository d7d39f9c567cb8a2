"""The hidden state of the prompt's last token."""

from __future__ import annotations

from torch import Tensor

from teacher.batch import Batch
from teacher.families import Visual
from teacher.readout.reader import Reader, States


class LastToken(Reader):
    """The state from which the model would begin its answer (MLLMEmbed-ReID, arXiv 2602.12936)."""

    def forward(self, batch: Batch, states: States | None, visual: Visual | None) -> Tensor:
        """float32 [B, D]."""
        assert states is not None
        return states.at(batch["last"])
