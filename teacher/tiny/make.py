"""Make, pre-train and save a small base; the same size and seed give the same base."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import torch

from edge_runtime.preprocess import Preprocessing
from reid.artifact import ArtifactWriter
from reid.modality import Modality
from reid.synthetic.world import World
from teacher.backbone import Backbone, Base
from teacher.encoder import Encoder
from teacher.families import FAMILIES
from teacher.settings import Prompts
from teacher.tiny.architecture import SIZES, Size, make_model
from teacher.tiny.people import render
from teacher.tiny.pretraining import pretrain
from teacher.tiny.tokenizer import train_tokenizer

KIND = "base"
INSTRUCTION = "Describe the person. {item}"
_PEOPLE_SEED = 7_000_000
"""Added to the seed, so that the people of the pre-training are never those of a data set made with a small seed."""


def make_base(
    out: Path, size: str = "tiny", seed: int = 0, *, steps: int | None = None, people: int | None = None
) -> dict[str, float]:
    """Write a base to `out`: config.json, model.safetensors, the tokenizer, preprocessor_config.json.

    Args:
        out: the folder to make.
        size: a key of `SIZES`.
        seed: of weights, people and order.
        steps: of each part of the pre-training at most; 0 leaves the weights random.
        people: of the pre-training, instead of the size's own.

    Returns:
        The losses at the end of the pre-training, by name; none without a pre-training.

    Raises:
        UserError: `out` exists or cannot be written.
    """
    numbers = SIZES[size]
    world = World(
        seed=seed + _PEOPLE_SEED,
        people=people or numbers.people,
        cameras=4,
        per_camera=1,
        infrared_cameras=0,
        sketches=0,
        captions=4,
        modalities=(Modality.RGB, Modality.TEXT),
    )
    with ArtifactWriter(out, KIND, {"command": f"teacher init --size {size}", "seed": seed}) as artifact:
        encoder = _untrained(numbers, world, seed)
        losses: dict[str, float] = {}
        if steps != 0:
            data = render(world, encoder, workers=os.cpu_count() or 1)
            losses = pretrain(encoder, data, numbers, steps=steps, seed=seed)
        encoder.model.save_pretrained(artifact.path)
        encoder.backbone.tokenizer.save_pretrained(artifact.path)
        _write_preprocessor(artifact.path, encoder.backbone.preprocessing, numbers.patch)
        parameters = sum(weight.numel() for weight in encoder.model.parameters())
        artifact.details.update(
            size=size,
            numbers=asdict(numbers),
            steps=steps,
            people=world.people,
            losses=losses,
            parameters=parameters,
        )
    return losses


def _untrained(numbers: Size, world: World, seed: int) -> Encoder:
    prompts = Prompts(
        system="You describe people.", rgb=INSTRUCTION, ir=INSTRUCTION, sketch=INSTRUCTION, text=INSTRUCTION
    )
    sentences = [world.text(i) for i in range(len(world)) if world.place(i).modality is Modality.TEXT]
    tokenizer = train_tokenizer([*sentences, *_spoken()], numbers.vocabulary)
    torch.manual_seed(seed)
    model = make_model(numbers, tokenizer)
    family = FAMILIES["qwen2_vl"]
    family.prepare(model)
    preprocessing = Preprocessing(numbers.height, numbers.width_px)
    return Encoder(Backbone(Base("new", None, ""), family, model, tokenizer, preprocessing), prompts)


def _spoken() -> list[str]:
    """The words of the instructions, often enough that each is a token or two and prompts stay short.

    Of these recipes only: with another recipe a size and a seed give the same base as before.
    """
    from teacher.recipe import load_recipe

    lines = []
    for name in ("mllmembed", "mllmembed-tiny"):
        prompts = load_recipe(name).prompts
        lines += [prompts.system, prompts.rgb, prompts.ir, prompts.sketch, prompts.text or ""]
    return [*lines, *("system\n", "user\n", "assistant\n") * len(lines)] * 200


def _write_preprocessor(folder: Path, preprocessing: Preprocessing, patch: int) -> None:
    """In the form of transformers, so that its own processors read it too."""
    raw = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "image_mean": list(preprocessing.mean),
        "image_std": list(preprocessing.std),
        "patch_size": patch,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "size": {"shortest_edge": 4 * patch * patch, "longest_edge": preprocessing.height * preprocessing.width},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
