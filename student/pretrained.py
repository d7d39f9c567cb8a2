"""Pretrained weights for a student's backbone: read from a folder or the hub, checked, and made to fit persons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from huggingface_hub.errors import HfHubHTTPError, StrictDataclassError
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoConfig, AutoModel, PreTrainedConfig
from transformers.image_processing_base import ImageProcessingMixin

from edge_runtime.preprocess import RESAMPLING
from reid.errors import UserError
from student.family import Family
from student.positions import resize_positions
from student.quiet import quiet_transformers
from student.zoo import IMAGENET, ZooEntry

_CANNOT_LOAD = (
    OSError, ValueError, KeyError, TypeError, RuntimeError, StrictDataclassError, SafetensorError, HfHubHTTPError,
)  # fmt: skip
Three = tuple[float, float, float]


@dataclass(frozen=True)
class Colours:
    """How images are shown to a backbone: mean and std per channel of values 0 to 1, a resampling of
    `edge_runtime.preprocess`, and whether it takes blue first."""

    mean: Three = IMAGENET[0]
    std: Three = IMAGENET[1]
    resampling: str = "bicubic"
    blue_first: bool = False


@dataclass(frozen=True)
class Pretrained:
    """A checkpoint of a transformers model, or of one with a head on it.

    Attributes:
        config: its config, without what is not the family's own.
        weights: of the bare model, float32.
        colours: of its image processor; ImageNet's if it has none.
        dropped: names of weights that a student has no use for, such as a classifier.
    """

    config: PreTrainedConfig
    weights: Mapping[str, Tensor]
    colours: Colours
    dropped: tuple[str, ...]


def load_pretrained(name: str, entry: ZooEntry) -> Pretrained:
    """Read weights for a student of the zoo.

    Args:
        name: a folder that `save_pretrained` wrote, or a hub id.
        entry: the student.

    Raises:
        UserError: nothing loadable is there, it is of another family or shape, or weights are MISSING, UNEXPECTED or
            of the wrong shape; the first such key is named.
    """
    raw = _config(name)
    if raw.model_type != entry.model_type:
        raise UserError(f"{name}: is a {raw.model_type}; {entry.name} needs a {entry.model_type}{_such_as(entry)}")
    config = own_config(raw)
    _refuse_other_shape(name, config, entry)
    weights, dropped = _weights(name, raw, entry.family)
    return Pretrained(config, weights, _colours(name), dropped)


def own_keys(config: PreTrainedConfig) -> dict[str, Any]:
    """What the config's own class defines, and no more: no labels, no task, no path of its author's."""
    common = {field.name for field in fields(PreTrainedConfig)}
    names = [field.name for field in fields(config) if field.name not in common and not field.name.startswith("_")]
    return {name: getattr(config, name) for name in names}


def own_config(config: PreTrainedConfig) -> PreTrainedConfig:
    """A copy that has its own keys alone."""
    return type(config)(**own_keys(config))


def fit_weights(
    pretrained: Pretrained, family: Family, grid: tuple[int, int], stems: int, wanted: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The weights for a student's backbone.

    Args:
        pretrained: what to start from. family: of both.
        grid: rows and columns of the student's patches.
        stems: how many copies of the first convolution stand side by side over the input channels.
        wanted: the student's backbone's state; only its names count.

    Raises:
        UserError: the positions are not those of the config's size.
    """
    weights = {key: value for key, value in pretrained.weights.items() if key in wanted}
    stem = f"{family.stem}.weight"
    kernels = weights[stem].flip(1) if pretrained.colours.blue_first else weights[stem]
    weights[stem] = kernels.repeat(1, stems, 1, 1)
    if family.positions:
        height, width = _size(pretrained.config)
        old = family.grid(pretrained.config, height, width)
        weights[family.positions] = resize_positions(weights[family.positions], old, grid, antialias=family.antialias)
    return weights


def _config(name: str) -> PreTrainedConfig:
    folder = Path(name)
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise UserError(f"{name}: has no config.json; expected a folder that save_pretrained wrote, or a hub id")
    if not folder.is_dir() and (folder.is_absolute() or name.startswith(".") or name.count("/") > 1):
        raise UserError(f"{name}: no such folder; expected one that save_pretrained wrote, or a hub id")
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(name)
    except _CANNOT_LOAD as error:
        raise UserError(f"{name}: its config does not load ({_reason(error)})") from error
    return config


def _refuse_other_shape(name: str, config: PreTrainedConfig, entry: ZooEntry) -> None:
    wanted = entry.family.config(**entry.config)
    for key in entry.family.shape:
        found, expected = getattr(config, key), getattr(wanted, key)
        if _plain(found) != _plain(expected):
            raise UserError(f"{name}: its {key} is {found}; {entry.name} has {expected}{_such_as(entry)}")
    if config.num_channels != 3:
        raise UserError(f"{name}: its num_channels is {config.num_channels}; expected 3, of colour images")


def _weights(name: str, config: PreTrainedConfig, family: Family) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    # Without pickles; and without a pooling layer where the class has one, which a student does not use.
    options: dict[str, Any] = {"use_safetensors": True, "dtype": torch.float32, "output_loading_info": True}
    if "pooler." in family.dropped:
        options["add_pooling_layer"] = False
    load: Any = AutoModel.from_pretrained
    try:
        with quiet_transformers(), torch.random.fork_rng(devices=[]):
            model, told = load(name, config=config, **options)
    except _CANNOT_LOAD as error:
        raise UserError(f"{name}: its weights do not load ({_reason(error)})") from error
    prefix = f"{model.base_model_prefix}."
    extra = sorted(str(key).removeprefix(prefix) for key in told["unexpected_keys"])
    wrong = {
        "MISSING": sorted(key for key in map(str, told["missing_keys"]) if not key.startswith(family.dropped)),
        "UNEXPECTED": [key for key in extra if not key.startswith(family.dropped)],
        "MISMATCHED": sorted(str(key[0] if isinstance(key, tuple) else key) for key in told["mismatched_keys"]),
    }
    for found, keys in wrong.items():
        if keys:
            raise UserError(f"{name}: {found} weights: {keys[0]} ({len(keys)} such keys); take an intact checkpoint")
    weights = {key: value.detach() for key, value in model.state_dict().items() if not key.startswith(family.dropped)}
    unused = [key for key in model.state_dict() if key.startswith(family.dropped)]
    return weights, tuple(sorted({*extra, *unused}))


def _colours(name: str) -> Colours:
    try:
        raw, _ = ImageProcessingMixin.get_image_processor_dict(name)
    except OSError:
        return Colours()
    code = raw.get("resample")
    named = {int(value): key for key, value in RESAMPLING.items()}
    resampling = named.get(code, "bicubic") if isinstance(code, int) else "bicubic"
    blue_first = bool(raw.get("do_flip_channel_order", False))
    # MobileViT's processor has no normalisation at all.
    if not raw.get("do_normalize", "image_mean" in raw):
        return Colours((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), resampling, blue_first)
    mean, std = raw.get("image_mean", IMAGENET[0]), raw.get("image_std", IMAGENET[1])
    return Colours(_three(mean), _three(std), resampling, blue_first)


def _size(config: PreTrainedConfig) -> tuple[int, int]:
    size: Any = config.image_size
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def _three(values: Any) -> Three:
    red, green, blue = map(float, values)
    return red, green, blue


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value


def _such_as(entry: ZooEntry) -> str:
    return f", such as {entry.hub}" if entry.hub else ""


def _reason(error: Exception) -> str:
    return shorten(str(error), 200, placeholder=" ...") or type(error).__name__
