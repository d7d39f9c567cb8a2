"""The generated semantic token, refined with the visual tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from teacher.batch import Batch
from teacher.families import Visual
from teacher.readout.cameras import Cameras
from teacher.readout.interaction import CrossInteraction, SelfInteraction
from teacher.readout.reader import Reader, States


class SemanticToken(Reader):
    """v_reid, the state that generates the answer's first token, and what an interaction makes of it.

    Args:
        width: D. interaction: of v_reid and the visual tokens; None leaves v_reid as it is.
        learnt: a vector that is the same for all images takes v_reid's place, and no language model is run.
        stop_gradient: v_reid passes no gradient back.
        cameras, at_patches: as for `Reader`; cameras that are not added to the patches are added to v_reid.

    Source: LVLM-ReID (arXiv 2411.18111), Pedestrian Semantic Token Generation and Semantic-Guided Interaction.
    """

    def __init__(
        self,
        width: int,
        interaction: SelfInteraction | CrossInteraction | None,
        *,
        learnt: bool = False,
        stop_gradient: bool = False,
        cameras: Cameras | None = None,
        at_patches: bool = True,
    ) -> None:
        super().__init__(cameras, at_patches=at_patches)
        self.interaction = interaction
        self.token = nn.Parameter(torch.randn(width) * width**-0.5) if learnt else None
        self.needs_language = not learnt
        self.passes_gradient = not stop_gradient

    def forward(self, batch: Batch, states: States | None, visual: Visual | None) -> Tensor:
        """float32 [B, D]."""
        token = self._token(batch, states)
        if self.cameras is not None and not self.at_patches:
            token = token + self.cameras(batch["cameras"]).to(token.dtype)
        if self.interaction is None:
            return token
        assert visual is not None
        refined: Tensor = self.interaction(token, visual.tokens)
        return refined

    def _token(self, batch: Batch, states: States | None) -> Tensor:
        if self.token is not None:
            return self.token.float().expand(len(batch["last"]), -1)
        assert states is not None
        return states.at(batch["last"])
