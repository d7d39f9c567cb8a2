"""A new student: at random, or with the weights of a pretrained backbone."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig

from reid.errors import UserError
from student.configuration import IMAGE_MODALITIES, StudentConfig
from student.model import StudentModel
from student.pooling import VECTORS
from student.pretrained import Colours, fit_weights, load_pretrained, own_config, own_keys
from student.zoo import ZooEntry, find_student

STEMS = ("shared", "modality")
_TOKENS = ("cls_token", "distillation_token", "register_tokens", "position_embeddings")


def build_student(
    name: str,
    dim: int,
    *,
    height: int = 256,
    width: int = 128,
    init: str | None = None,
    pooling: str | None = None,
    stems: str = "shared",
    output_scale: float = 1.0,
    dropout: float | None = None,
    drop_path: float = 0.0,
    seed: int = 0,
) -> StudentModel:
    """A student that has not been distilled yet, on the CPU, in float32, in evaluation mode.

    Args:
        name: in the zoo.
        dim: k, how many outputs.
        height, width: of the input in pixels. Where the backbone's patches do not divide them, up to 2 % at the
            bottom and at the right is not seen.
        init: a folder or hub id of pretrained weights of the same shape; None: random. Colours are then shown as the
            weights are used to, and positions are resized to the input's shape, once. What of the weights has no use
            here is named in `config.dropped`.
        pooling: see `student.pooling.pool`; by default "cls_mean", or "mean" for families without a class token.
        stems: see `StudentModel`.
        output_scale: fixed factor on the outputs, such as the deviation of the teacher's coordinates.
        dropout: of the backbone's hidden states; None: as its family or its weights have it.
        drop_path: stochastic depth of the last block.
        seed: of random weights. The generator of the caller is left alone.

    Raises:
        UserError: an unknown name (the nearest is given), a size or an option that the student cannot have, or
            weights that do not fit.
    """
    entry = find_student(name)
    pooling = pooling or ("cls_mean" if entry.family.special else "mean")
    _check(entry, dim, pooling, stems, dropout, drop_path)
    pretrained = load_pretrained(init, entry) if init else None
    nested = own_config(pretrained.config) if pretrained else entry.family.config(**entry.config)
    _adapt(nested, entry, (height, width), stems, dropout, drop_path)
    grid = entry.family.grid(nested, height, width)
    colours = pretrained.colours if pretrained else Colours()
    config = StudentConfig(
        backbone={"model_type": entry.model_type, **own_keys(nested)}, student=name, dim=dim, height=height,
        width=width, pooling=pooling, stems=stems, output_scale=output_scale, drop_path=drop_path,
        mean=list(colours.mean), std=list(colours.std), resampling=colours.resampling, init=init,
        dropped=list(pretrained.dropped) if pretrained else [],
    )  # fmt: skip
    model = _random(config, seed)
    if pretrained:
        copies = len(IMAGE_MODALITIES) if stems == "modality" else 1
        weights = fit_weights(pretrained, entry.family, grid, copies, model.backbone.state_dict())
        model.backbone.load_state_dict(weights)
    model.train(False)
    return model


def _random(config: StudentConfig, seed: int) -> StudentModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = StudentModel(config)
        if any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
            model.apply(_with_batch_norm)
        for name, parameter in model.backbone.named_parameters():
            # Some classes begin with zeros. Registers that begin equal stay equal for ever.
            if name.endswith(_TOKENS):
                nn.init.trunc_normal_(parameter, std=0.02)
    return model


def _with_batch_norm(module: nn.Module) -> None:
    """He's weights for MobileViT (arXiv 1502.01852).

    transformers draws both kernels and the scales of norms from N(0, 0.02), of which little comes through.
    """
    if isinstance(module, nn.BatchNorm2d):
        nn.init.ones_(module.weight)
    elif isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")


def _check(entry: ZooEntry, dim: int, pooling: str, stems: str, dropout: float | None, drop_path: float) -> None:
    allowed = [name for name in VECTORS if entry.family.special or "cls" not in name]
    if pooling not in allowed:
        raise UserError(f"pooling '{pooling}': not possible for {entry.name}; it can have {', '.join(allowed)}")
    if stems not in STEMS:
        raise UserError(f"stems '{stems}': unknown; expected {' or '.join(STEMS)}")
    if dim < 1:
        raise UserError(f"dim {dim}: a student needs at least 1 output")
    for option, rate in (("dropout", dropout or 0.0), ("drop_path", drop_path)):
        if not 0 <= rate < 1:
            raise UserError(f"{option} {rate}: expected a rate from 0 to below 1")
    if drop_path > 0 and not (entry.family.drop_path or entry.family.blocks):
        raise UserError(f"drop_path {drop_path}: {entry.name} has no stochastic depth; set it to 0")


def _adapt(
    nested: PreTrainedConfig,
    entry: ZooEntry,
    size: tuple[int, int],
    stems: str,
    dropout: float | None,
    drop_path: float,
) -> None:
    """Change a backbone's config to what is asked of this student."""
    changes: dict[str, Any] = {"image_size": list(size)}
    changes["num_channels"] = 3 * len(IMAGE_MODALITIES) if stems == "modality" else 3
    if entry.family.drop_path:
        changes[entry.family.drop_path] = drop_path
    if hasattr(nested, "use_mask_token"):
        changes["use_mask_token"] = False
    if dropout is not None:
        if not hasattr(nested, "hidden_dropout_prob"):
            raise UserError(f"dropout {dropout}: {entry.name} has none; leave it out")
        changes["hidden_dropout_prob"] = dropout
    for key, value in changes.items():
        setattr(nested, key, value)
