"""Qwen2.5-VL (arXiv 2502.13923): most vision blocks attend within windows."""

from __future__ import annotations

from typing import ClassVar

from teacher.families.qwen import LANGUAGE, VISION_ATTENTION, Qwen


class Qwen25VL(Qwen):
    """Qwen2.5-VL."""

    name = "Qwen2.5-VL"
    model_type = "qwen2_5_vl"
    # Its windows differ in size within an image, so transformers' own loop over them stays.
    batched_attention = False
    targets: ClassVar = {
        "vision": {"attention": VISION_ATTENTION, "mlp": r"model\.visual\.blocks\.LAYER\.mlp\.(gate|up|down)_proj"},
        "connector": {"mlp": r"model\.visual\.merger\.mlp\.[02]"},
        "language": LANGUAGE,
    }
