"""LLaVA-OneVision (arXiv 2408.03326): SigLIP, two linear layers, Qwen2."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from teacher.families.family import Chat
from teacher.families.llava import Llava


class LlavaOneVision(Llava):
    """LLaVA-OneVision, one view of the image (no anyres crops: a person crop is smaller than the tower's input).

    As transformers packs a single view, one learnt "newline" token follows the visual tokens.
    """

    name = "LLaVA-OneVision"
    model_type = "llava_onevision"
    chat = Chat(
        system=("<|im_start|>system\n", "<|im_end|>\n"),
        user=("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"),
        image=("", "\n"),
    )
    special_tokens = ("<|im_start|>", "<|im_end|>")

    def visual_tokens(self, config: Any, height: int, width: int) -> int:
        """Patches and the newline."""
        return super().visual_tokens(config, height, width) + 1

    def connect(self, model: nn.Module, tokens: Tensor) -> Tensor:
        """The newline at the end."""
        newline = model.get_parameter("model.image_newline").to(tokens)
        return torch.cat([tokens, newline.expand(len(tokens), 1, -1)], dim=1)
