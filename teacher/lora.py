"""Hierarchical LoRA: levels of the model, each with its own rank, alpha, dropout, learning rate, DoRA and stage."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import nn
from transformers import PreTrainedModel

from reid.errors import UserError
from reid.evaluation import format_table
from teacher.families import Family
from teacher.settings import Level

ADAPTER = "default"
MAGNITUDE = "lora_magnitude_vector"


@dataclass(frozen=True)
class Matched:
    """A level and the linear layers that it names.

    Attributes:
        name: of the level. level: its settings.
        pattern: regular expression of the full module names, anchored at the root of the model.
        modules: those that match, in the model's order.
    """

    name: str
    level: Level
    pattern: str
    modules: tuple[str, ...]


def match_levels(model: PreTrainedModel, family: Family, levels: Mapping[str, Level]) -> list[Matched]:
    """Find the linear layers of each level.

    Raises:
        UserError: a level matches nothing, names a layer that is not there, or shares a layer with another level.
    """
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    owner: dict[str, str] = {}
    found = []
    for name, level in levels.items():
        pattern = _pattern(name, level, family, family.layers(model.config, level.part))
        modules = tuple(module for module in linear if re.fullmatch(pattern, module))
        if not modules:
            raise UserError(
                f"tuning.levels.{name}: no linear layer of this {family.name} matches {pattern}; "
                f"check part '{level.part}', layers '{level.layers}' and modules {list(level.modules)}"
            )
        for module in modules:
            if owner.setdefault(module, name) != name:
                raise UserError(
                    f"tuning.levels.{name}: {module} is in level '{owner[module]}' too; a layer has one level"
                )
        found.append(Matched(name, level, pattern, modules))
    return found


def describe(matched: Iterable[Matched], model: nn.Module) -> str:
    """The table of levels that is printed before a training: what matched, and how many weights train."""
    rows = []
    for entry in matched:
        level = entry.level
        sizes = [tuple(model.get_parameter(f"{module}.weight").shape) for module in entry.modules]
        weights = sum(level.rank * (out + into) + (out if level.dora else 0) for out, into in sizes)
        rows.append(
            {
                "level": entry.name,
                "part": level.part,
                "layers": level.layers,
                "linear layers": str(len(entry.modules)),
                "of": _kinds(entry.modules),
                "rank": str(level.rank),
                "alpha": f"{level.alpha:g}",
                "dropout": f"{level.dropout:g}",
                "DoRA": "yes" if level.dora else "no",
                "lr": f"{level.lr:g}",
                "stage": str(level.stage),
                "weights": f"{weights:,}",
            }
        )
    return format_table(rows)


def attach(model: PreTrainedModel, matched: Iterable[Matched]) -> PeftModel:
    """Put LoRA layers into the model, in place; only they train.

    peft has one dropout and one `use_dora` per adapter, so both are set level by level afterwards.
    """
    entries = list(matched)
    config = LoraConfig(
        r=entries[0].level.rank,
        lora_alpha=entries[0].level.alpha,  # type: ignore[arg-type] # any number works
        lora_dropout=max(entry.level.dropout for entry in entries),
        use_dora=any(entry.level.dora for entry in entries),
        target_modules="|".join(f"(?:{entry.pattern})" for entry in entries),
        rank_pattern={entry.pattern: entry.level.rank for entry in entries},
        alpha_pattern={entry.pattern: entry.level.alpha for entry in entries},
    )
    with without_peft_warnings():
        peft = get_peft_model(model, config)
    assert isinstance(peft, PeftModel)
    for entry in entries:
        for name in entry.modules:
            layer = model.get_submodule(name)
            assert isinstance(layer, LoraLayer)
            layer.lora_dropout[ADAPTER] = nn.Dropout(entry.level.dropout) if entry.level.dropout else nn.Identity()
            if config.use_dora and not entry.level.dora:
                layer.lora_variant.pop(ADAPTER)
                layer.lora_magnitude_vector.pop(ADAPTER)
                layer.use_dora[ADAPTER] = False
    return peft


@contextmanager
def without_peft_warnings() -> Iterator[None]:
    """Within the context peft does not warn of a name that transformers renames, nor of keys that we make errors."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".is_gradient_checkpointing. is deprecated", category=FutureWarning)
        warnings.filterwarnings("ignore", message="Found missing adapter keys")
        yield


def fixed_magnitudes(peft: PeftModel) -> dict[str, torch.Tensor]:
    """Magnitudes that make DoRA of the layers that were trained without it, by their key in the adapter's file.

    `use_dora` holds for a whole adapter file. DoRA computes m * (W + BA) / |W + BA|, so with m = |W + BA| a plain LoRA
    layer is written as DoRA and computes the same (arXiv 2402.09353, equation 5).
    """
    config: Any = peft.peft_config[ADAPTER]
    if not config.use_dora:
        return {}
    magnitudes = {}
    for name, module in peft.named_modules():
        layer: Any = module
        if isinstance(module, LoraLayer) and ADAPTER in layer.lora_A and not layer.use_dora[ADAPTER]:
            with torch.no_grad():
                weight = layer.get_base_layer().weight.float() + layer.get_delta_weight(ADAPTER).float()
                magnitudes[f"{name}.{MAGNITUDE}"] = weight.norm(dim=1)
    return magnitudes


def level_of(parameter: str, matched: Iterable[Matched]) -> Matched | None:
    """The level that a parameter belongs to, by its full name; None if it belongs to none."""
    for entry in matched:
        if any(f"{module}." in parameter for module in entry.modules):
            return entry
    return None


def _pattern(name: str, level: Level, family: Family, count: int) -> str:
    groups = [family.targets[level.part][group] for group in level.modules if group in family.targets[level.part]]
    layers = _layers(name, level, count)
    return "|".join(group.replace("LAYER", layers) for group in groups) or "(no such group)"


def _layers(name: str, level: Level, count: int) -> str:
    if level.layers == "all" or level.part == "connector":
        return r"\d+"
    chosen: list[int] = []
    for part in level.layers.split(","):
        first, _, last = part.partition("-")
        chosen += range(int(first), int(last or first) + 1)
    beyond = [layer for layer in chosen if layer >= count]
    if beyond:
        raise UserError(f"tuning.levels.{name}.layers: {beyond[0]}, but {level.part} has layers 0 to {count - 1}")
    return f"({'|'.join(map(str, dict.fromkeys(chosen)))})"


def _kinds(modules: Iterable[str]) -> str:
    """What the layers are called, each once and by the block that they are in: `attn.qkv+proj mlp.fc1+fc2`."""
    blocks: dict[str, list[str]] = {}
    for name in modules:
        block, layer = name.split(".")[-2:]
        if layer not in blocks.setdefault(block, []):
            blocks[block].append(layer)
    return " ".join(f"{block}.{'+'.join(layers)}" for block, layers in blocks.items())
