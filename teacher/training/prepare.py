"""Before the first step: the base is loaded, what trains is marked, and the people to train on are counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, prepare_model_for_kbit_training
from torch import nn

from reid.dataset import Dataset
from reid.errors import UserError
from reid.sample import Sample, Split
from teacher.backbone import Backbone, load_backbone
from teacher.checkpoint import go_on_from
from teacher.encoder import Encoder
from teacher.lora import Matched, attach, describe, match_levels
from teacher.objective import Neck
from teacher.readout import make_reader
from teacher.settings import Recipe
from teacher.training.arguments import computes_in_bf16
from teacher.training.groups import stage_shares
from teacher.training.model import TrainableTeacher
from teacher.whole import WholePart, describe_parts, mark_parts, match_parts


@dataclass
class Prepared:
    """Everything that trains, before the first step."""

    backbone: Backbone
    teacher: TrainableTeacher
    adapter: PeftModel | None
    matched: list[Matched]
    parts: list[WholePart]
    people: dict[str, int]
    samples: Sequence[Sample]


def prepare(
    dataset: Dataset,
    recipe: Recipe,
    base: str,
    revision: str | None,
    init: Path | None,
    device: torch.device,
    say: Callable[[str], None],
) -> Prepared:
    """Load the base, put in what trains, and find whom to train on."""
    samples = dataset.select(Split.TRAIN, modalities=recipe.modalities)
    if not samples:
        raise UserError(f"{dataset.root}: has no samples of split train; nothing to train on")
    if recipe.objective.continuation.weight and all(sample.text is None for sample in samples):
        raise UserError(
            f"{dataset.root}: has no sentences of people of split train, which objective.continuation is to say; set "
            "objective.continuation.weight=0"
        )
    dtype = torch.float32
    if device.type == "cuda" and recipe.tuning.kind != "full" and computes_in_bf16(recipe.training, on_cpu=False):
        dtype = torch.bfloat16
    backbone = load_backbone(
        base, recipe.image, revision=revision, device=device, dtype=dtype, quantise=recipe.tuning.quantise
    )
    say(f"base: {backbone.family.name}, {backbone.base}, {_count(backbone.model):,} weights")
    adapter, matched, parts = _tune(backbone, recipe, say)
    if recipe.training.recompute:
        recompute(backbone.model)
    people = {person: number for number, person in enumerate(sorted({s.person_id for s in samples}))}
    cameras = sorted({s.camera_id for s in samples if s.modality.is_image and s.camera_id is not None})
    encoder = Encoder(backbone, recipe.prompts, make_reader(recipe.readout, backbone, dataset.kind, cameras))
    if init is not None:
        go_on_from(init, recipe, backbone, encoder.reader, adapter, parts)
    neck = Neck(backbone.width, len(people), recipe.objective.id.scale).to(device)
    teacher = TrainableTeacher(
        encoder,
        neck,
        recipe.objective,
        after_neck=recipe.readout.embedding == "after_neck",
        share_prefix=not recipe.training.recompute,
        begins=stage_shares(recipe.training.epochs),
    )
    say(f"trainable: {sum(w.numel() for w in teacher.parameters() if w.requires_grad):,} weights, the neck included")
    return Prepared(backbone, teacher, adapter, matched, parts, people, samples)


def _tune(
    backbone: Backbone, recipe: Recipe, say: Callable[[str], None]
) -> tuple[PeftModel | None, list[Matched], list[WholePart]]:
    """Mark what trains: LoRA layers, whole parts, all weights, or none."""
    adapter, matched = None, []
    # Found before LoRA layers are put in, whose names would be among a part's.
    parts = match_parts(backbone.model, backbone.family, recipe.tuning.used_parts)
    if recipe.tuning.kind == "lora":
        matched = match_levels(backbone.model, backbone.family, recipe.tuning.levels)
        say(describe(matched, backbone.model))
        if recipe.tuning.quantise:
            prepare_model_for_kbit_training(backbone.model, use_gradient_checkpointing=False)
        adapter = attach(backbone.model, matched)
    if parts:
        say(describe_parts(parts, backbone.model))
        mark_parts(backbone.model, parts)
    if recipe.tuning.kind == "full":
        backbone.model.requires_grad_(True)
        head = backbone.model.get_output_embeddings()
        is_run = recipe.objective.continuation.weight > 0
        if head is not None and not is_run and head.weight is not backbone.model.get_input_embeddings().weight:
            # It is never run, so it has no gradient.
            head.requires_grad_(False)
    return adapter, matched, parts


def recompute(model: Any) -> None:
    """Recompute activations in the backward pass instead of keeping them."""
    # The first name is that of transformers 5.21 and newer.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def _count(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())
