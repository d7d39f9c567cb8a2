"""Qwen3-VL (arXiv 2511.21631): features of several vision layers are added to the first language layers (DeepStack)."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from teacher.families.family import Visual
from teacher.families.qwen import LANGUAGE, VISION_ATTENTION, Qwen


class Qwen3VL(Qwen):
    """Qwen3-VL."""

    name = "Qwen3-VL"
    model_type = "qwen3_vl"
    targets: ClassVar = {
        "vision": {"attention": VISION_ATTENTION, "mlp": r"model\.visual\.blocks\.LAYER\.mlp\.linear_fc[12]"},
        "connector": {"mlp": r"model\.visual\.(merger|deepstack_merger_list\.\d+)\.linear_fc[12]"},
        "language": LANGUAGE,
    }

    def further(self, visual: Visual | None, placeholders: Tensor) -> dict[str, Any]:
        """The deep features and where they go."""
        if visual is None or not visual.deep:
            return {}
        return {
            "visual_pos_masks": placeholders,
            "deepstack_visual_embeds": [layer.flatten(0, 1) for layer in visual.deep],
        }
