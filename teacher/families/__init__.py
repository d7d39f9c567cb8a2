"""The families of multimodal LLMs that can be taught, one small file each."""

from __future__ import annotations

from reid.errors import UserError
from teacher.families.family import Chat, Family, Visual
from teacher.families.llava import Llava
from teacher.families.llava_onevision import LlavaOneVision
from teacher.families.qwen2_5_vl import Qwen25VL
from teacher.families.qwen2_vl import Qwen2VL
from teacher.families.qwen3_vl import Qwen3VL

__all__ = ["FAMILIES", "Chat", "Family", "Visual", "find_family"]

FAMILIES: dict[str, Family] = {
    family.model_type: family for family in (Qwen2VL(), Qwen25VL(), Qwen3VL(), Llava(), LlavaOneVision())
}


def find_family(model_type: str, where: str) -> Family:
    """The family with this `model_type`; `where` names the base in the error.

    Raises:
        UserError: none has it.
    """
    if model_type not in FAMILIES:
        known = ", ".join(f"{family.name} ({key})" for key, family in FAMILIES.items())
        raise UserError(f"{where}: model_type '{model_type}' is no supported multimodal LLM; supported: {known}")
    return FAMILIES[model_type]
