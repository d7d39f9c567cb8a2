"""A copy of a student whose modules are written for a graph: the same numbers from fewer nodes, and safer in fp16.

transformers' own modules trace to a mask of zeros, a scale on every attention score, shapes that are computed from the
batch at run time, and position embeddings that may be resized in every pass. None of it is needed for one input size.
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.bert.modeling_bert import BertEmbeddings
from transformers.models.mobilevit.modeling_mobilevit import MobileViTLayer, MobileViTSelfAttention

from student.model import StudentModel
from student.text import TextStudent

Model = TypeVar("Model", StudentModel, TextStudent)

_PROJECTIONS = (("q_proj", "k_proj", "v_proj"), ("query", "key", "value"))
"""What the families call the three projections of an attention module."""
_OUTPUT = "o_proj"
"""And the fourth, where it is part of the same module."""


class PlainAttention(nn.Module):
    """Attention written out, with the softmax scale in the query's weights.

    In fp16 an unscaled product of queries and keys is the first to overflow. Where the scale is a power of two, as for
    heads of 16, 64 or 256, the outputs stay the same to the bit; elsewhere each weight is rounded once.

    Args:
        attention: a module of transformers; its query projection is changed.
        names: of its three projections.
        masked: whether the mask that it is called with matters. Images are never padded, so theirs is all zeros.
    """

    def __init__(self, attention: nn.Module, names: tuple[str, str, str], masked: bool) -> None:
        super().__init__()
        self._names, self._masked = names, masked
        self._heads = int(attention.num_attention_heads)  # type: ignore[arg-type]
        self._alone = isinstance(attention, MobileViTSelfAttention)
        for name in (*names, _OUTPUT):
            if isinstance(child := getattr(attention, name, None), nn.Linear):
                self.add_module(name, child)
        query = self.get_submodule(names[0])
        assert isinstance(query, nn.Linear)
        scale = (query.out_features / self._heads) ** -0.5
        with torch.no_grad():
            for parameter in query.parameters():
                parameter.copy_(parameter.double() * scale)

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None = None, **_: Any) -> Any:
        """[..., N, C] -> [..., N, C], in the form in which transformers' module gives it."""
        query, key, value = (
            self.get_submodule(name)(hidden_states).unflatten(-1, (self._heads, -1)).transpose(-2, -3)
            for name in self._names
        )
        scores = query @ key.transpose(-1, -2)
        if self._masked and attention_mask is not None:
            scores = scores + attention_mask
        context = (scores.softmax(-1) @ value).transpose(-2, -3).flatten(-2)
        if _OUTPUT in self._modules:
            context = self.get_submodule(_OUTPUT)(context)
        return context if self._alone else (context, None)


class PlainEmbeddings(nn.Module):
    """Tokens of an image: its patches, and one table that is added to them.

    The table holds the special tokens and every position embedding, in the size of the input. It is what the family's
    own module gives for patches that are all zero, so it needs to know nothing of the family.

    Args:
        embeddings: transformers' module.
        channels, height, width: of the input.
    """

    table: Tensor

    def __init__(self, embeddings: nn.Module, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.patch_embeddings = embeddings.get_submodule("patch_embeddings")
        blank = copy.deepcopy(embeddings)
        pixels = torch.zeros(1, channels, height, width)
        with torch.no_grad():
            patches = self.patch_embeddings(pixels)
            for parameter in blank.get_submodule("patch_embeddings").parameters():
                parameter.zero_()
            self.register_buffer("table", blank(pixels))
        self._special = self.table.shape[1] - patches.shape[1]

    def forward(self, pixel_values: Tensor, **_: Any) -> Tensor:
        """[B, channels, height, width] -> [B, N, C]"""
        # Padding, and not a concatenation with tokens that are repeated: the batch's size is then never asked for.
        return functional.pad(self.patch_embeddings(pixel_values), (0, 0, self._special, 0)) + self.table


class PlainWords(nn.Module):
    """Embeddings of a sentence's tokens: BERT's, whose one kind of token is added to every word beforehand."""

    def __init__(self, embeddings: BertEmbeddings) -> None:
        super().__init__()
        self.word_embeddings, self.position_embeddings = embeddings.word_embeddings, embeddings.position_embeddings
        self.LayerNorm = embeddings.LayerNorm
        with torch.no_grad():
            self.word_embeddings.weight += embeddings.token_type_embeddings.weight[0]

    def forward(self, input_ids: Tensor, position_ids: Tensor, **_: Any) -> Tensor:
        """int64 [B, T] twice -> [B, T, C]"""
        embedded: Tensor = self.word_embeddings(input_ids) + self.position_embeddings(position_ids)
        normalised: Tensor = self.LayerNorm(embedded)
        return normalised


class _PlainMobileViTLayer(MobileViTLayer):
    """Patches as one transposition, whose reshapes have no size in them that depends on the batch but the first."""

    def unfolding(self, features: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """[B, C, H, W] -> [B * side * side, patches, C]; a student's sides are multiples of the patch's."""
        side = _side(self)
        _, channels, height, width = features.shape
        rows, columns = height // side, width // side
        grid = features.unflatten(3, (columns, side)).unflatten(2, (rows, side))
        patches = grid.permute(0, 3, 5, 2, 4, 1).reshape(-1, rows * columns, channels)
        return patches, {"rows": rows, "columns": columns}

    def folding(self, patches: Tensor, info_dict: dict[str, Any]) -> Tensor:
        """The inverse of `unfolding`."""
        side, rows, columns, channels = _side(self), info_dict["rows"], info_dict["columns"], patches.shape[-1]
        grid = patches.reshape(-1, side, side, rows, columns, channels).permute(0, 5, 3, 1, 4, 2)
        return grid.reshape(-1, channels, rows * side, columns * side)


def _side(layer: MobileViTLayer) -> int:
    side = layer.patch_width
    assert isinstance(side, int)
    return side


def plain_copy(model: Model) -> Model:
    """A copy of a student, in evaluation mode, that traces to a small graph. The student itself is not changed."""
    made = copy.deepcopy(model)
    made.train(False).requires_grad_(False)
    for name, module in list(made.named_modules()):
        if isinstance(module, MobileViTLayer):
            module.__class__ = _PlainMobileViTLayer
        for names in _PROJECTIONS:
            if all(isinstance(getattr(module, part, None), nn.Linear) for part in names):
                made.set_submodule(name, PlainAttention(module, names, masked=isinstance(model, TextStudent)))
    embeddings = made.backbone.get_submodule("embeddings") if _has_tokens(made) else None
    if isinstance(embeddings, BertEmbeddings):
        made.set_submodule("backbone.embeddings", PlainWords(embeddings))
    elif isinstance(made, StudentModel) and embeddings is not None:
        channels = int(made.backbone.config.num_channels)
        plain = PlainEmbeddings(embeddings, channels, made.config.height, made.config.width)
        made.set_submodule("backbone.embeddings", plain)
    return made


def _has_tokens(model: StudentModel | TextStudent) -> bool:
    return isinstance(model, TextStudent) or model.config.family.special is not None
