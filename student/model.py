"""The student: a small backbone, pooling, and a linear head onto the teacher's k coordinates."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init

from edge_runtime.preprocess import Preprocessing
from student.configuration import IMAGE_MODALITIES, StudentConfig
from student.depth import add_stochastic_depth
from student.pooling import VECTORS, pool


class StudentModel(PreTrainedModel):
    """An image of a person in, k coordinates out.

    With stems "modality" the first convolution has three times the input channels: an image stands in those of its
    modality, the others are 0, so each modality has its own kernels. The bias is shared. No branch depends on data.

    Attributes:
        backbone: a transformers model without pooling layer.
        head: F -> k.
    """

    config_class = StudentConfig
    base_model_prefix = ""
    main_input_name = "pixels"
    input_modalities = "image"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True

    config: StudentConfig

    def __init__(self, config: StudentConfig) -> None:
        super().__init__(config)
        family, nested = config.family, config.backbone_config()
        self._grid = family.grid(nested, config.height, config.width)
        self._special = family.special(nested) if family.special else None
        if family.special:
            nested._attn_implementation = self.config._attn_implementation
        self.backbone = family.make(nested)
        if config.drop_path > 0 and family.blocks:
            blocks = self.backbone.get_submodule(family.blocks)
            assert isinstance(blocks, nn.ModuleList)
            add_stochastic_depth(blocks, config.drop_path)
        self.head = nn.Linear(VECTORS[config.pooling] * family.width(nested), config.dim)
        self.post_init()  # type: ignore[no-untyped-call]

    @property
    def preprocessing(self) -> Preprocessing:
        """From an image to this student's input."""
        return self.config.preprocessing()

    def features(self, pixels: Tensor, modalities: Tensor | None = None) -> Tensor:
        """What the head sees: pooled, after the backbone's final norm.

        Args:
            pixels: float32 [B, 3, H, W], preprocessed.
            modalities: int64 [B], places in `list(Modality)`, below 3; only looked at with stems "modality".

        Returns:
            [B, F]

        Raises:
            ValueError: stems "modality" and no modalities.
        """
        if self.config.stems == "modality":
            if modalities is None:
                raise ValueError("this student has a stem for each modality; give the modalities of the images")
            pixels = _in_its_channels(pixels, modalities)
        hidden: Tensor = self.backbone(pixel_values=pixels).last_hidden_state
        if self._special is None:
            first, grid = None, hidden.permute(0, 2, 3, 1)
        else:
            first, grid = hidden[:, 0], hidden[:, self._special :].unflatten(1, self._grid)
        vectors = pool(self.config.pooling, first, grid)
        normalised = self.config.family.normalised
        return (normalised(self.backbone, vectors) if normalised else vectors).flatten(1)

    def forward(self, pixels: Tensor, modalities: Tensor | None = None) -> Tensor:
        """As `features`, then the head: [B, dim], in the scale of the teacher's coordinates."""
        outputs: Tensor = self.head(self.features(pixels, modalities))
        return outputs * self.config.output_scale

    def _init_weights(self, module: Any) -> None:
        # transformers lets each nested model initialise its own. Normalised features give outputs of unit scale.
        if isinstance(module, nn.Linear):
            init.normal_(module.weight, std=1 / math.sqrt(module.in_features))
            init.zeros_(module.bias)


def _in_its_channels(pixels: Tensor, modalities: Tensor) -> Tensor:
    """[B, 3, H, W] -> [B, 9, H, W]: the image in the three channels of its modality, 0 in the others."""
    chosen = modalities[:, None] == torch.arange(len(IMAGE_MODALITIES), device=modalities.device)
    placed = chosen.to(pixels.dtype)[:, :, None, None, None] * pixels[:, None]
    return placed.flatten(1, 2)
