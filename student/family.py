"""The families of backbones: what differs between the transformers classes that a student can be built on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformers import (
    ConvNextV2Config,
    ConvNextV2Model,
    DeiTConfig,
    DeiTModel,
    Dinov2Config,
    Dinov2WithRegistersConfig,
    MobileViTConfig,
    MobileViTModel,
    PreTrainedConfig,
    PreTrainedModel,
    ViTConfig,
    ViTModel,
)

from reid.errors import UserError
from student.dinov2 import PersonDinov2, PersonDinov2WithRegisters

_SPARE = 0.02
"""Share of a side that may be left over when patches are laid: 256 / 14 leaves 4 pixels, 128 / 14 leaves 2."""


@dataclass(frozen=True)
class Family:
    """What a student needs to know of a backbone's class.

    Attributes:
        model_type: of transformers.
        config: its config class.
        make: a model from a config; without a pooling layer, which a student has itself.
        special: how many tokens stand before those of the patches; None: the output is a map [B, C, h, w].
        stride: pixels of a side for one token or one place of the map.
        multiple: what a side must be a multiple of.
        shape: keys of the config that give weights their shapes.
        width: C, the channels of a token or of a place of the map.
        stem: path of the first convolution. positions: path of the position embeddings, if it has any.
        antialias: whether transformers resizes its positions with antialiasing.
        drop_path: key of the config for stochastic depth; None: it has none of its own.
        blocks: path of the list of residual blocks, if stochastic depth can be added from outside.
        dropped: prefixes of weights of a checkpoint that a student has no use for.
        normalised: applied to pooled vectors, for families whose final norm comes after pooling.
    """

    model_type: str
    config: type[PreTrainedConfig]
    make: Callable[[Any], PreTrainedModel]
    special: Callable[[Any], int] | None
    stride: Callable[[Any], int]
    multiple: Callable[[Any], int]
    shape: tuple[str, ...]
    width: Callable[[Any], int]
    stem: str
    positions: str | None = None
    antialias: bool = False
    drop_path: str | None = None
    blocks: str | None = None
    dropped: tuple[str, ...] = ()
    normalised: Callable[[PreTrainedModel, Tensor], Tensor] | None = None

    def grid(self, config: Any, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of tokens, or of the map, for an input of this size.

        Raises:
            UserError: the size is not a multiple of what it must be. Where patches are laid side by side, 2 % of a
                side may be left over at the bottom and at the right: it is not seen.
        """
        multiple, stride = self.multiple(config), self.stride(config)
        spare = _SPARE if self.special is not None else 0.0
        for name, side in (("height", height), ("width", width)):
            if side < multiple or side % multiple > spare * side:
                below = side // multiple * multiple
                near = " or ".join(str(size) for size in (below, below + multiple) if size > 0)
                raise UserError(f"{name} {side}: {self.model_type} needs a multiple of {multiple} pixels; take {near}")
        return height // stride, width // stride


def _side(config: Any) -> int:
    patch = config.patch_size
    return int(patch if isinstance(patch, int) else patch[0])


def _hidden(config: Any) -> int:
    return int(config.hidden_size)


def _after_pooling(model: PreTrainedModel, pooled: Tensor) -> Tensor:
    layernorm: nn.Module = model.get_submodule("layernorm")
    normalised: Tensor = layernorm(pooled)
    return normalised


_PATCHES, _POSITIONS = "embeddings.patch_embeddings.projection", "embeddings.position_embeddings"
_VIT_SHAPE = ("hidden_size", "num_hidden_layers", "num_attention_heads", "patch_size")
_DINO = dict[str, Any](
    stride=_side, multiple=_side, width=_hidden, stem=_PATCHES, positions=_POSITIONS, drop_path="drop_path_rate",
    shape=(*_VIT_SHAPE, "mlp_ratio", "use_swiglu_ffn"),
)  # fmt: skip
_VIT = dict[str, Any](
    stride=_side, multiple=_side, width=_hidden, stem=_PATCHES, positions=_POSITIONS, blocks="layers",
    shape=(*_VIT_SHAPE, "intermediate_size"),
)  # fmt: skip

FAMILIES: Mapping[str, Family] = {
    family.model_type: family
    for family in (
        Family(
            "vit", ViTConfig, lambda c: ViTModel(c, add_pooling_layer=False), special=lambda _: 1,
            dropped=("pooler.", "classifier.", "embeddings.mask_token", "decoder."), **_VIT,
        ),
        Family(
            "deit", DeiTConfig, lambda c: DeiTModel(c, add_pooling_layer=False), special=lambda _: 2,
            dropped=(
                "pooler.", "classifier.", "cls_classifier.", "distillation_classifier.", "embeddings.mask_token",
                "decoder.",
            ), **_VIT,
        ),
        Family(
            "dinov2", Dinov2Config, PersonDinov2, special=lambda _: 1,
            dropped=("classifier.", "embeddings.mask_token"), **_DINO,
        ),
        Family(
            "dinov2_with_registers", Dinov2WithRegistersConfig, PersonDinov2WithRegisters,
            special=lambda c: 1 + int(c.num_register_tokens), antialias=True, dropped=("classifier.",), **_DINO,
        ),
        Family(
            "mobilevit", MobileViTConfig, MobileViTModel, special=None, stride=lambda _: 32,
            multiple=lambda c: 32 * _side(c), width=lambda c: int(c.neck_hidden_sizes[-1]),
            stem="conv_stem.convolution", dropped=("classifier.", "segmentation_head."),
            shape=("hidden_sizes", "neck_hidden_sizes", "patch_size", "expand_ratio", "mlp_ratio", "output_stride"),
        ),
        Family(
            "convnextv2", ConvNextV2Config, ConvNextV2Model, special=None, stride=lambda c: 8 * _side(c),
            multiple=lambda c: 8 * _side(c), width=lambda c: int(c.hidden_sizes[-1]),
            stem="embeddings.patch_embeddings", drop_path="drop_path_rate", dropped=("classifier.",),
            shape=("hidden_sizes", "depths", "patch_size"), normalised=_after_pooling,
        ),
    )
}  # fmt: skip
"""transformers' model_type -> family."""
