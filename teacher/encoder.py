"""From a batch to embeddings: vision tower, connector and language model, read at one position, no lm_head."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from reid.modality import Modality
from teacher.backbone import Backbone
from teacher.batch import Batch
from teacher.prompts import PromptBook
from teacher.settings import Prompts


class Encoder(nn.Module):
    """A backbone and its prompts.

    Args:
        backbone: the loaded base. prompts: of the recipe.

    Attributes:
        book: the prompts, tokenised.
        model: the `...ForConditionalGeneration`, whose lm_head is never run.
    """

    def __init__(self, backbone: Backbone, prompts: Prompts) -> None:
        super().__init__()
        self.model = backbone.model
        self.backbone = backbone
        self.family, size = backbone.family, backbone.preprocessing
        config = self.model.config
        self.grid = self.family.grid(config, size.height, size.width)
        tokens = self.family.visual_tokens(config, size.height, size.width)
        self.image_token = self.family.image_token_id(config)
        self.book = PromptBook.make(prompts, self.family, backbone.tokenizer, self.image_token, tokens)
        self._prefixes: dict[Modality, list[tuple[Tensor, Tensor]]] | None = None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    def forward(
        self,
        input_ids: Tensor,
        starts: Tensor,
        counts: Tensor,
        last: Tensor,
        padding: Tensor,
        pixels: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Embeddings float32 [B, D] of a `Batch`: the hidden state of each prompt's last token, not normalised."""
        return _at(self.hidden(input_ids, starts, counts, padding, pixels, mask), last)

    def hidden(
        self,
        input_ids: Tensor,
        starts: Tensor,
        counts: Tensor,
        padding: Tensor,
        pixels: Tensor | None,
        mask: Tensor | None,
    ) -> Tensor:
        """Hidden states [B, T, D] of a `Batch`, after the final norm, in the weights' dtype."""
        states: Tensor = self._read(input_ids, starts, counts, padding, pixels, mask).last_hidden_state
        return states

    @contextmanager
    def shared_prefixes(self) -> Iterator[None]:
        """Within the context, `encode_alike` computes each modality's prefix once. The weights must not change."""
        self._prefixes = {}
        try:
            yield
        finally:
            self._prefixes = None

    @torch.no_grad()
    def encode_alike(self, modality: Modality, batch: Batch) -> Tensor:
        """`forward` for a batch of one modality, padded on the right, reusing the keys and values of its prefix.

        Outside of `shared_prefixes` the prefix is computed for this call.
        """
        kept = self._prefixes if self._prefixes is not None else {}
        if modality not in kept:
            kept[modality] = self._prefix(modality)
        ids, length = batch["input_ids"], len(self.book.prompts[modality].prefix)
        cache = DynamicCache()
        for layer, (keys, values) in enumerate(kept[modality]):
            cache.update(keys.expand(len(ids), -1, -1, -1), values.expand(len(ids), -1, -1, -1), layer)
        hidden = self._read(
            ids, batch["starts"], batch["counts"], batch["padding"], batch["pixels"], None, skip=length, cache=cache
        ).last_hidden_state
        return _at(hidden, batch["last"] - length)

    def _prefix(self, modality: Modality) -> list[tuple[Tensor, Tensor]]:
        """Keys and values [1, heads, P, width] of a prefix, by layer."""
        ids = torch.tensor([self.book.prompts[modality].prefix], device=self.device)
        none = torch.zeros(1, dtype=torch.int64, device=self.device)
        cache = DynamicCache()
        self._read(ids, none, none, none, None, None, cache=cache)
        layers: Any = cache.layers
        return [(layer.keys, layer.values) for layer in layers]

    def _read(
        self,
        ids: Tensor,
        starts: Tensor,
        counts: Tensor,
        padding: Tensor,
        pixels: Tensor | None,
        mask: Tensor | None,
        *,
        skip: int = 0,
        cache: Any = None,
    ) -> Any:
        """The language model over `ids[:, skip:]`, whose earlier tokens are in `cache`."""
        model, family = self.model, self.family
        positions = family.positions(model.config, starts, counts, self.grid, ids.shape[1])
        if mask is not None:
            # Row b's token in column c is its token number c - padding.
            number = (torch.arange(ids.shape[1], device=ids.device) - padding[:, None]).clamp(min=0)
            positions = positions.gather(-1, number.expand_as(positions))
        ids, positions = ids[:, skip:], positions[..., skip:]
        embeddings = model.get_input_embeddings()(ids)
        placeholders = ids == self.image_token
        visual = None
        if pixels is not None and len(pixels):
            visual = family.see(model, pixels)
            tokens = visual.tokens.to(embeddings.dtype)
            embeddings = embeddings.masked_scatter(placeholders[..., None], tokens)
        return family.read(
            model, embeddings, positions, mask=mask, visual=visual, placeholders=placeholders, cache=cache
        )


def _at(hidden: Tensor, index: Tensor) -> Tensor:
    """[B, T, D] -> float32 [B, D] at `index` [B]."""
    return hidden[torch.arange(len(hidden), device=hidden.device), index].float()
