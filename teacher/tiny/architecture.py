"""Small numbers for the real `Qwen2VLConfig`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration


@dataclass(frozen=True)
class Size:
    """The numbers of one size.

    Attributes:
        vision_width, vision_depth, vision_heads: of the vision tower.
        width, depth, heads, key_value_heads, mlp: of the language model.
        vocabulary: tokens, special ones included.
        patch: side of a patch in pixels. height, width_px: what it is pre-trained on, in pixels.
        people: of the pre-training. seeing_steps, photographs (per step), seeing_lr: of its first part.
        reading_steps, batch (people per step), reading_lr: of its second part.
    """

    vision_width: int
    vision_depth: int
    vision_heads: int
    width: int
    depth: int
    heads: int
    key_value_heads: int
    mlp: int
    vocabulary: int
    patch: int
    height: int
    width_px: int
    people: int
    seeing_steps: int
    photographs: int
    seeing_lr: float
    reading_steps: int
    batch: int
    reading_lr: float


# Deviations of new weights, about 1 / sqrt(width): transformers' 0.02 suits widths of thousands.
INIT_LANGUAGE, INIT_VISION = 0.05, 0.08

SIZES = {
    "tiny": Size(
        128, 4, 4, 192, 3, 4, 2, 384, 1024, 16, 128, 64, people=4000,
        seeing_steps=450, photographs=128, seeing_lr=2e-3, reading_steps=200, batch=16, reading_lr=1e-3,
    ),
    "small": Size(
        192, 6, 6, 256, 6, 4, 2, 768, 2048, 16, 192, 96, people=2000,
        seeing_steps=150, photographs=64, seeing_lr=1e-3, reading_steps=80, batch=16, reading_lr=1e-3,
    ),
}  # fmt: skip


def make_model(size: Size, tokenizer: Any) -> Qwen2VLForConditionalGeneration:
    """A randomly initialised Qwen2-VL of this size, for this tokenizer."""
    rotary = size.width // size.heads // 2
    side = rotary // 3
    config = Qwen2VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": size.width,
            "intermediate_size": size.mlp,
            "num_hidden_layers": size.depth,
            "num_attention_heads": size.heads,
            "num_key_value_heads": size.key_value_heads,
            "max_position_embeddings": 4096,
            "rope_parameters": {
                "rope_type": "default",
                "mrope_section": [rotary - 2 * side, side, side],
                "rope_theta": 10000.0,
            },
            "tie_word_embeddings": True,
            "initializer_range": INIT_LANGUAGE,
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={
            "depth": size.vision_depth,
            "embed_dim": size.vision_width,
            "num_heads": size.vision_heads,
            "hidden_size": size.width,
            "mlp_ratio": 4,
            "patch_size": size.patch,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "initializer_range": INIT_VISION,
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<|video_pad|>"),
        vision_start_token_id=tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=tokenizer.convert_tokens_to_ids("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    return Qwen2VLForConditionalGeneration(config)
