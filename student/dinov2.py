"""DINOv2 with one position embedding for each patch of a person-shaped image.

transformers stores DINOv2's positions for a square and resizes them in every pass. A student's are resized once, when
it is made (`student.pretrained`), so that a pass, and the graph that is exported from it, only adds them.
"""

from __future__ import annotations

from torch import Tensor
from transformers import Dinov2Config, Dinov2Model, Dinov2WithRegistersConfig, Dinov2WithRegistersModel
from transformers.models.dinov2.modeling_dinov2 import Dinov2Embeddings
from transformers.models.dinov2_with_registers.modeling_dinov2_with_registers import Dinov2WithRegistersEmbeddings


class _Embeddings(Dinov2Embeddings):
    def interpolate_pos_encoding(self, embeddings: Tensor, height: int, width: int) -> Tensor:
        return self.position_embeddings


class _EmbeddingsWithRegisters(Dinov2WithRegistersEmbeddings):
    def interpolate_pos_encoding(self, embeddings: Tensor, height: int, width: int) -> Tensor:
        return self.position_embeddings


class PersonDinov2(Dinov2Model):
    """`Dinov2Model` for the one input size in its config; its weights have the same names."""

    def __init__(self, config: Dinov2Config) -> None:
        super().__init__(config)
        self.embeddings = _Embeddings(config)
        self.post_init()  # type: ignore[no-untyped-call]


class PersonDinov2WithRegisters(Dinov2WithRegistersModel):
    """`Dinov2WithRegistersModel` for the one input size in its config, as `PersonDinov2`."""

    def __init__(self, config: Dinov2WithRegistersConfig) -> None:
        super().__init__(config)
        self.embeddings = _EmbeddingsWithRegisters(config)
        # Nothing is masked here, and a parameter without a gradient stops a training by several processes.
        mask = self.embeddings.mask_token.detach()
        del self.embeddings.mask_token
        self.embeddings.register_buffer("mask_token", mask)
        self.post_init()  # type: ignore[no-untyped-call]
