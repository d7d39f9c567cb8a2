"""Checkpoints of small models that look as if they had been trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from small_models import LEVELS
from torch import nn

from reid.artifact import ArtifactWriter
from teacher.backbone import Backbone
from teacher.checkpoint import KIND, RECIPE, save_teacher
from teacher.lora import attach, match_levels
from teacher.objective import Neck
from teacher.recipe import dump_recipe
from teacher.settings import Level, Recipe


def levels(**changes: dict[str, Any]) -> dict[str, Level]:
    """The levels of the small recipe, with changes."""
    return {name: Level.model_validate({**level, **changes.get(name, {})}) for name, level in LEVELS.items()}


def trained(backbone: Backbone, chosen: dict[str, Level], seed: int = 1) -> PeftModel:
    """An adapter whose weights are no longer where they began."""
    adapter = attach(backbone.model, match_levels(backbone.model, backbone.family, chosen))
    disturb(adapter, seed)
    return adapter.eval()


def trained_neck(width: int, people: int = 3) -> Neck:
    """A neck that changes what passes it."""
    neck = Neck(width, people)
    disturb(neck, 2)
    generator = torch.Generator().manual_seed(3)
    for statistic in (neck.norm.running_mean, neck.norm.running_var):
        assert statistic is not None
        statistic.add_(torch.rand(width, generator=generator))
    return neck.eval()


@torch.no_grad()
def disturb(module: nn.Module, seed: int) -> None:
    """Add noise to the weights that train."""
    torch.manual_seed(seed)
    for weight in module.parameters():
        if weight.requires_grad:
            weight.add_(0.3 * torch.randn_like(weight) * weight.abs().mean().clamp(min=0.3))


def write(
    folder: Path, backbone: Backbone, recipe: Recipe, adapter: PeftModel | None = None, neck: Neck | None = None
) -> Path:
    """A checkpoint in `folder`, written as `teacher train` does."""
    with ArtifactWriter(folder, KIND, {"command": "test"}) as artifact:
        save_teacher(artifact.path, backbone, recipe, neck or trained_neck(backbone.width), adapter)
        (artifact.path / RECIPE).write_text(dump_recipe(recipe))
    return folder


def resize_in_manifest(folder: Path) -> None:
    """Make the manifest agree with the files' sizes, so that what is tested is what the files hold."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    for name, entry in manifest["files"].items():
        entry["bytes"] = (folder / name).stat().st_size
    path.write_text(json.dumps(manifest))
