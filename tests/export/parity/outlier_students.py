"""Students with activations that float16 does not hold, as trained transformers have them."""

from __future__ import annotations

from pathlib import Path

import torch
from small_export import RANK, lively, write_student

from export.source import Source, open_source
from student.build import build_student


def outlier_source(folder: Path, *, hot: tuple[int, ...] = (), massive: bool = False) -> Source:
    """A small student that was not trained.

    Args:
        hot: blocks whose LayerNorms' gains are scaled by 50. Their queries are doubled, too: a small student's heads
            are narrow, and logits grow with the width.
        massive: two rows of the first MLP are scaled by 1000, so that the residual grows beyond 65504.
    """
    student = build_student("vit-micro", RANK, height=128, width=64)
    lively(student)
    with torch.no_grad():
        for name, parameter in student.named_parameters():
            if any(f"layers.{block}." in name for block in hot):
                if "layernorm_" in name and name.endswith("weight"):
                    parameter *= 50
                if "q_proj" in name or "query" in name:
                    parameter *= 2
            if massive and name == "backbone.layers.0.mlp.fc2.weight":
                parameter[:2] *= 1000
    return open_source(write_student(folder, student))
