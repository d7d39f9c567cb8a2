"""One small student for each family of backbones."""

from __future__ import annotations

from student.zoo import ZooEntry

_VIT = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "patch_size": 16}
_DINO = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_ratio": 2, "patch_size": 14}
_MOBILE = {
    "hidden_sizes": [8, 12, 16],
    "neck_hidden_sizes": [4, 8, 8, 8, 12, 12, 24],
    "num_attention_heads": 2,
    "hidden_dropout_prob": 0.0,
}
TOKENS = ("tiny-vit", "tiny-deit", "tiny-dinov2", "tiny-dinov2-reg")
SMALL = {
    entry.name: entry
    for entry in (
        ZooEntry("tiny-vit", "vit", _VIT, None, ""),
        ZooEntry("tiny-deit", "deit", _VIT, None, ""),
        ZooEntry("tiny-dinov2", "dinov2", _DINO, None, ""),
        ZooEntry("tiny-dinov2-reg", "dinov2_with_registers", _DINO, None, ""),
        ZooEntry("tiny-mobilevit", "mobilevit", _MOBILE, None, ""),
        ZooEntry("tiny-convnextv2", "convnextv2", {"hidden_sizes": [8, 8, 12, 16], "depths": [1, 1, 2, 1]}, None, ""),
    )
}
SIZE = {name: (112, 56) if "dinov2" in name else (128, 64) for name in SMALL}
