"""The real architectures with small numbers, and a tokenizer trained on the spot."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from transformers import (
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    PreTrainedModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from teacher.settings import Image
from teacher.tiny.tokenizer import train_tokenizer

SIZE = Image(height=56, width=28)
"""Two by one visual tokens of Qwen2-VL; four by two patches of LLaVA."""

SMALL = {
    "image": {"height": 56, "width": 28},
    "prompts": {
        "system": "Embed people.",
        "rgb": "rgb {item} now",
        "ir": "infrared {item} now",
        "sketch": "sketch {item} now",
        "text": "text {item} now",
        "caption_tokens": 24,
    },
    "sampling": {"people": 4, "per_person": 4},
    "training": {"epochs": [1], "log_every": 1, "recompute": False},
}
LEVELS = {
    "vision": {"part": "vision", "rank": 2, "alpha": 4, "dropout": 0.0, "dora": False, "lr": 1e-2},
    "connector": {"part": "connector", "rank": 3, "alpha": 3, "dropout": 0.0, "dora": False, "lr": 1e-2},
    "language": {"part": "language", "rank": 2, "alpha": 8, "dropout": 0.0, "dora": False, "lr": 1e-2},
}


@cache
def tokenizer() -> Any:
    """A byte-level tokenizer with the special tokens of all families."""
    made = train_tokenizer(["A woman in a red coat.", "Embed people. rgb infrared sketch text now"] * 20, 330)
    made.add_special_tokens({"additional_special_tokens": ["<image>"]}, replace_extra_special_tokens=False)
    return made


def _language(**more: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer()),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "bos_token_id": None,
        "eos_token_id": tokenizer().eos_token_id,
        "pad_token_id": tokenizer().pad_token_id,
        **more,
    }


def _rotary(width: int) -> dict[str, Any]:
    half = width // 2
    return {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [half - 2 * (half // 3), half // 3, half // 3]}


def _tokens() -> dict[str, int]:
    names = {"image_token_id": "image_pad", "video_token_id": "video_pad", "vision_start_token_id": "vision_start"}
    ids = {key: tokenizer().convert_tokens_to_ids(f"<|{name}|>") for key, name in names.items()}
    return {**ids, "vision_end_token_id": tokenizer().convert_tokens_to_ids("<|vision_end|>")}


def qwen2_vl() -> PreTrainedModel:
    """Qwen2-VL."""
    vision = {"depth": 2, "embed_dim": 32, "num_heads": 2, "hidden_size": 32, "mlp_ratio": 2}
    return Qwen2VLForConditionalGeneration(
        Qwen2VLConfig(text_config=_language(rope_parameters=_rotary(8)), vision_config=vision, **_tokens())
    )


def qwen2_5_vl() -> PreTrainedModel:
    """Qwen2.5-VL, one block with whole attention, one within windows."""
    vision = {
        "depth": 2, "hidden_size": 32, "num_heads": 2, "out_hidden_size": 32, "intermediate_size": 48,
        "fullatt_block_indexes": [1], "window_size": 56,
    }  # fmt: skip
    return Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(text_config=_language(rope_parameters=_rotary(8)), vision_config=vision, **_tokens())
    )


def qwen3_vl() -> PreTrainedModel:
    """Qwen3-VL with one deep feature; patches of 14 pixels so that it takes the same images."""
    vision = {
        "depth": 2, "hidden_size": 32, "num_heads": 2, "out_hidden_size": 32, "intermediate_size": 48,
        "deepstack_visual_indexes": [0], "num_position_embeddings": 16, "patch_size": 14,
    }  # fmt: skip
    language = _language(head_dim=8, rope_parameters=_rotary(8))
    return Qwen3VLForConditionalGeneration(Qwen3VLConfig(text_config=language, vision_config=vision, **_tokens()))


def llava() -> PreTrainedModel:
    """LLaVA 1.5."""
    vision = {
        "model_type": "clip_vision_model", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
        "num_attention_heads": 2, "image_size": 56, "patch_size": 14,
    }  # fmt: skip
    image = tokenizer().convert_tokens_to_ids("<image>")
    text = _language(model_type="llama")
    return LlavaForConditionalGeneration(LlavaConfig(text_config=text, vision_config=vision, image_token_index=image))


def llava_onevision() -> PreTrainedModel:
    """LLaVA-OneVision."""
    vision = {
        "model_type": "siglip_vision_model", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
        "num_attention_heads": 2, "image_size": 56, "patch_size": 14, "vision_use_head": False,
    }  # fmt: skip
    image = tokenizer().convert_tokens_to_ids("<image>")
    config = LlavaOnevisionConfig(
        text_config=_language(model_type="qwen2"), vision_config=vision, image_token_index=image,
        image_grid_pinpoints=[[56, 56]],
    )  # fmt: skip
    return LlavaOnevisionForConditionalGeneration(config)


BUILDERS: dict[str, Callable[[], PreTrainedModel]] = {
    builder.__name__: builder for builder in (qwen2_vl, qwen2_5_vl, qwen3_vl, llava, llava_onevision)
}
