"""One small student for each family of backbones, and checkpoints of the transformers class for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModel, PreTrainedModel

from student.family import FAMILIES
from student.zoo import ZooEntry

VIT = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "patch_size": 16}
DINO = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_ratio": 2, "patch_size": 14}
MOBILE = {
    "hidden_sizes": [8, 12, 16],
    "neck_hidden_sizes": [4, 8, 8, 8, 12, 12, 24],
    "num_attention_heads": 2,
    "hidden_dropout_prob": 0.0,
}
SMALL = {
    entry.name: entry
    for entry in (
        ZooEntry("small-vit", "vit", VIT, None, ""),
        ZooEntry("small-deit", "deit", VIT, None, ""),
        ZooEntry("small-dinov2", "dinov2", DINO, None, ""),
        ZooEntry("small-dinov2-reg", "dinov2_with_registers", DINO, None, ""),
        ZooEntry("small-mobilevit", "mobilevit", MOBILE, None, ""),
        ZooEntry("small-convnextv2", "convnextv2", {"hidden_sizes": [8, 8, 12, 16], "depths": [1, 1, 2, 1]}, None, ""),
    )
}
SQUARE = {name: 56 if "dinov2" in name else 64 for name in SMALL}
"""Side of the square that a checkpoint is for."""
PERSON = {name: (112, 56) if "dinov2" in name else (192, 64) for name in SMALL}


def checkpoint(folder: Path, name: str, **changes: Any) -> PreTrainedModel:
    """Save a model of the transformers class, no two of whose weights are equal, for a square; and give it."""
    entry = SMALL[name]
    config = FAMILIES[entry.model_type].config(**{"image_size": SQUARE[name], **entry.config, **changes})
    model: PreTrainedModel = AutoModel.from_config(config)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator) + 0.3 * (parameter.ndim == 1))
    model.save_pretrained(folder)
    model.train(False)
    return model


def images(count: int, height: int, width: int, seed: int = 1) -> Tensor:
    """float32 [count, 3, height, width]"""
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(seed))
