"""What differs between families of multimodal LLMs, and nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from reid.errors import UserError


@dataclass(frozen=True)
class Chat:
    """How a family writes a conversation: what stands before and after each part. Special tokens are spelled out."""

    system: tuple[str, str]
    user: tuple[str, str]
    image: tuple[str, str]


@dataclass(frozen=True)
class Visual:
    """What the vision tower and the connector make of n images.

    Attributes:
        tokens: [n, v, D] in the language model's width, in the order of the placeholders.
        deep: further [n, v, D] that are added after the first language layers (DeepStack of Qwen3-VL).
    """

    tokens: Tensor
    deep: tuple[Tensor, ...] = ()


class Family(ABC):
    """One family of multimodal LLMs in transformers: where its parts are, how it sees, how it counts positions.

    A family holds no weights and no state; `model` is always the unmodified `...ForConditionalGeneration`.

    Attributes:
        name: what the user reads.
        model_type: `model_type` of its config.json.
        chat: how it writes a conversation.
        weights: part -> regular expression that matches the full names of all its weights.
        targets: part ("vision", "connector", "language") -> group of linear layers ("attention", "mlp") -> regular
            expression that matches their full module names; `LAYER` stands where the layer's number is.
        special_tokens: tokens that the tokenizer must know, besides the image token.
    """

    name: ClassVar[str]
    model_type: ClassVar[str]
    chat: ClassVar[Chat]
    weights: ClassVar[Mapping[str, str]]
    targets: ClassVar[Mapping[str, Mapping[str, str]]]
    special_tokens: ClassVar[tuple[str, ...]]

    @abstractmethod
    def grid(self, config: Any, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of visual tokens that an image of this size becomes.

        Raises:
            UserError: the size is not a multiple of what the tower needs.
        """

    def visual_tokens(self, config: Any, height: int, width: int) -> int:
        """How many placeholders an image takes in the prompt."""
        rows, columns = self.grid(config, height, width)
        return rows * columns

    @abstractmethod
    def image_token_id(self, config: Any) -> int:
        """The id of the placeholder."""

    def layers(self, config: Any, part: str) -> int:
        """How many layers a part has; the connector has none that are numbered."""
        if part == "connector":
            return 0
        found = config.vision_config if part == "vision" else config.text_config
        return int(found.num_hidden_layers)

    @abstractmethod
    def see(self, model: nn.Module, pixels: Tensor) -> Visual:
        """Normalised images [n, 3, height, width] through vision tower and connector."""

    @abstractmethod
    def patch_embedding(self, model: nn.Module) -> tuple[nn.Module, int]:
        """The module that embeds patches, and the width of what it gives."""

    @abstractmethod
    def positions(self, config: Any, starts: Tensor, counts: Tensor, grid: tuple[int, int], length: int) -> Tensor:
        """Position ids of a batch of rows, for the language model.

        Args:
            config: the model's.
            starts: [B] where a row's placeholders begin, counted from the row's first token that is not padding.
            counts: [B] how many placeholders the row has, 0 for text.
            grid: rows and columns of visual tokens.
            length: T, positions wanted for tokens 0 to T - 1.

        Returns:
            int64 [B, T], or [3, B, T] for multimodal rotary positions.
        """

    def read(
        self,
        model: nn.Module,
        embeddings: Tensor,
        positions: Tensor,
        *,
        mask: Tensor | None,
        visual: Visual | None,
        placeholders: Tensor,
        cache: Any = None,
        use_cache: bool = False,
    ) -> Any:
        """Run the language model, without its lm_head.

        Args:
            model: the `...ForConditionalGeneration`.
            embeddings: [B, T, D], visual tokens in place.
            positions: as `positions` gives them.
            mask: [B, past + T] 1 for tokens, 0 for padding; None where padding stands on the right only, which a
                causal model never looks at.
            visual: what was seen, for families that add it to further layers.
            placeholders: bool [B, T].
            cache: keys and values of tokens before these.
            use_cache: return the keys and values too.

        Returns:
            The language model's output; `last_hidden_state` [B, T, D] is after the final norm.
        """
        return self.language(model)(
            inputs_embeds=embeddings,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=use_cache or cache is not None,
            **self.further(visual, placeholders),
        )

    def further(self, visual: Visual | None, placeholders: Tensor) -> dict[str, Any]:
        """Arguments of the language model that only this family has."""
        return {}

    def language(self, model: nn.Module) -> nn.Module:
        """The language model without its head."""
        module = model.get_submodule("model.language_model")
        assert isinstance(module, nn.Module)
        return module

    def prepare(self, model: nn.Module) -> None:  # noqa: B027 - most families have nothing to prepare
        """Whatever makes the loaded model faster without changing what it computes. Default: nothing."""


def divide(name: str, what: str, value: int, by: int) -> int:
    """value / by.

    Raises:
        UserError: it does not divide; the nearest sizes that do are named.
    """
    if value < by or value % by:
        below = max(by, value // by * by)
        near = str(below) if below > value else f"{below} or {below + by}"
        raise UserError(f"image.{what}: {value} is not a multiple of {by}, which {name} needs; use {near}")
    return value // by


def plain_positions(rows: int, length: int, device: torch.device) -> Tensor:
    """[rows, length] 0, 1, 2, ..."""
    return torch.arange(length, device=device).expand(rows, length)
