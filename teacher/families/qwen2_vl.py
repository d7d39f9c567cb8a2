"""Qwen2-VL (arXiv 2409.12191)."""

from __future__ import annotations

from typing import ClassVar

from teacher.families.qwen import LANGUAGE, VISION_ATTENTION, Qwen


class Qwen2VL(Qwen):
    """Qwen2-VL."""

    name = "Qwen2-VL"
    model_type = "qwen2_vl"
    targets: ClassVar = {
        "vision": {"attention": VISION_ATTENTION, "mlp": r"model\.visual\.blocks\.LAYER\.mlp\.fc[12]"},
        "connector": {"mlp": r"model\.visual\.merger\.mlp\.[02]"},
        "language": LANGUAGE,
    }
