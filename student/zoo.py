"""The students by name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reid.errors import UserError
from student.family import FAMILIES, Family

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class ZooEntry:
    """A student that can be asked for by name.

    Attributes:
        name: on the command line.
        model_type: of transformers.
        config: what its config differs in from the class's defaults, but for the input size.
        hub: id of pretrained weights of this very shape on the hub, for `init`; None if there are none.
        description: one line.
    """

    name: str
    model_type: str
    config: Mapping[str, Any]
    hub: str | None
    description: str

    @property
    def family(self) -> Family:
        """What its class does."""
        return FAMILIES[self.model_type]


def _transformer(width: int, heads: int, layers: int = 12, patch: int = 16, **more: Any) -> dict[str, Any]:
    """The numbers that the ViT papers give; layer_norm_eps as in most published weights."""
    sizes = {"hidden_size": width, "num_attention_heads": heads, "num_hidden_layers": layers, "patch_size": patch}
    return {**sizes, **more}


def _vit(width: int, heads: int, layers: int = 12) -> dict[str, Any]:
    return _transformer(width, heads, layers, intermediate_size=4 * width, layer_norm_eps=1e-6)


ZOO: dict[str, ZooEntry] = {
    entry.name: entry
    for entry in (
        ZooEntry("vit-micro", "vit", _vit(96, 3, 6), None, "ViT of 6 layers, 96 wide: for tests, and without a GPU"),
        ZooEntry("vit-ti", "vit", _vit(192, 3), "WinKawaks/vit-tiny-patch16-224", "ViT-Tiny/16"),
        ZooEntry("vit-s", "vit", _vit(384, 6), "WinKawaks/vit-small-patch16-224", "ViT-Small/16"),
        ZooEntry("vit-b", "vit", _vit(768, 12), "google/vit-base-patch16-224-in21k", "ViT-Base/16"),
        ZooEntry(
            "deit-s", "deit", _vit(384, 6), "facebook/deit-small-distilled-patch16-224",
            "DeiT-Small/16 with its distillation token",
        ),
        ZooEntry(
            "dinov2-s", "dinov2", _transformer(384, 6, patch=14, use_mask_token=False), "facebook/dinov2-small",
            "DINOv2-Small/14",
        ),
        ZooEntry(
            "dinov2-s-reg", "dinov2_with_registers", _transformer(384, 6, patch=14),
            "facebook/dinov2-with-registers-small", "DINOv2-Small/14 with 4 registers",
        ),
        ZooEntry(
            "mobilevit-s", "mobilevit", {}, "apple/mobilevit-small", "MobileViT-Small: convolutions with attention",
        ),
        ZooEntry(
            "convnextv2-atto", "convnextv2", {"hidden_sizes": [40, 80, 160, 320], "depths": [2, 2, 6, 2]},
            "facebook/convnextv2-atto-1k-224", "ConvNeXt V2-Atto: convolutions only",
        ),
        ZooEntry(
            "convnextv2-nano", "convnextv2", {"hidden_sizes": [80, 160, 320, 640], "depths": [2, 2, 8, 2]},
            "facebook/convnextv2-nano-22k-224", "ConvNeXt V2-Nano: convolutions only",
        ),
    )
}  # fmt: skip
"""Name -> student, from small to large within a family."""


def find_student(name: str) -> ZooEntry:
    """The student called `name`.

    Raises:
        UserError: there is none; the nearest name is given.
    """
    if name not in ZOO:
        near = difflib.get_close_matches(name.lower(), ZOO, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(ZOO)}"
        raise UserError(f"student '{name}': unknown; {hint}")
    return ZOO[name]
