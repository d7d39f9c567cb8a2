"""From a batch to embeddings: vision tower, connector and language model, read at one position, no lm_head."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from teacher.backbone import Backbone
from teacher.batch import MODALITIES, Batch
from teacher.families import Visual
from teacher.prompts import PromptBook
from teacher.settings import Prompts


@dataclass(frozen=True)
class Prefixes:
    """The common beginnings of some prompts, passed through the language model.

    Attributes:
        row_of: int64 [modalities], the row of each modality's prefix, by code.
        layers: keys and values of each layer, [rows, heads, P, width], shorter prefixes padded on the left.
        mask: int64 [rows, P], 1 for tokens; None if there is no padding.
    """

    row_of: Tensor
    layers: list[tuple[Tensor, Tensor]]
    mask: Tensor | None


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
        self._kept: dict[tuple[int, ...], Prefixes] | None = None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    def forward(self, batch: Batch, *, shared: bool = False) -> Tensor:
        """Embeddings float32 [B, D]: the hidden state of each prompt's last token, not normalised.

        Args:
            batch: the samples.
            shared: pass the beginning of each modality's prompt through the language model once instead of once per
                sample. The result is the same; rows must not be padded on the left.
        """
        return self.read_last(batch, self.see(batch), shared=shared)

    def read_last(self, batch: Batch, visual: Visual | None, *, shared: bool) -> Tensor:
        """`forward` for images that were seen already.

        Images and sentences pass the language model apart: they differ in length, and padding is computed like tokens.
        """
        is_image = batch["counts"] > 0
        if bool(is_image.all()) or not bool(is_image.any()):
            return self._read_alike(batch, visual, shared)
        out = torch.empty(len(is_image), self.backbone.width, device=is_image.device)
        parts = [
            (rows, self._read_alike(_part(batch, rows), seen, shared))
            for rows, seen in ((is_image.nonzero()[:, 0], visual), ((~is_image).nonzero()[:, 0], None))
        ]
        return out.index_put((torch.cat([rows for rows, _ in parts]),), torch.cat([part for _, part in parts]))

    def see(self, batch: Batch) -> Visual | None:
        """The batch's images through vision tower and connector; None if it has none."""
        pixels = batch["pixels"]
        return self.family.see(self.model, pixels) if pixels is not None and len(pixels) else None

    def read(self, batch: Batch, visual: Visual | None) -> Tensor:
        """Hidden states [B, T, D] of whole prompts after the final norm, in the weights' dtype."""
        states: Tensor = self._run(
            batch["input_ids"], self._positions(batch), visual, mask=batch["mask"]
        ).last_hidden_state
        return states

    @contextmanager
    def shared_prefixes(self) -> Iterator[None]:
        """Within the context prefixes are computed once for all batches. The weights must not change."""
        self._kept = {}
        try:
            yield
        finally:
            self._kept = None

    def _read_alike(self, batch: Batch, visual: Visual | None, shared: bool) -> Tensor:
        return self._read_shared(batch, visual) if shared else _at(self.read(batch, visual), batch["last"])

    def _read_shared(self, batch: Batch, visual: Visual | None) -> Tensor:
        """Embeddings float32 [B, D] of prompts that go on from their prefixes."""
        if batch["mask"] is not None:
            raise ValueError("rows that share their prefixes are padded on the right")
        prefixes = self._prefixes(batch["modalities"])
        rows = prefixes.row_of[batch["modalities"]]
        # What follows the prefix, moved to the left.
        starts = batch["starts"]
        length = int((batch["last"] + 1 - starts).max())
        columns = starts[:, None] + torch.arange(length, device=starts.device)
        columns = columns.clamp(max=batch["input_ids"].shape[1] - 1)
        positions = self._positions(batch)
        positions = positions.gather(-1, columns.expand(*positions.shape[:-1], length))
        mask = prefixes.mask
        if mask is not None:
            mask = torch.cat([mask[rows], mask.new_ones(len(rows), length)], dim=1)
        cache = _cache_of([(keys[rows], values[rows]) for keys, values in prefixes.layers])
        ids = batch["input_ids"].gather(1, columns)
        hidden = self._run(ids, positions, visual, mask=mask, cache=cache).last_hidden_state
        return _at(hidden, batch["last"] - starts)

    def _prefixes(self, modalities: Tensor) -> Prefixes:
        """Of the modalities in a batch; kept within `shared_prefixes`."""
        present = tuple(torch.unique(modalities).tolist())
        if self._kept is None:
            return self._read_prefixes(present)
        if present not in self._kept:
            self._kept[present] = self._read_prefixes(present)
        return self._kept[present]

    def _read_prefixes(self, present: tuple[int, ...]) -> Prefixes:
        texts = [self.book.prompts[MODALITIES[code]].prefix for code in present]
        length = max(map(len, texts))
        padding = torch.tensor([length - len(text) for text in texts], device=self.device)
        ids = torch.tensor([[0] * (length - len(text)) + list(text) for text in texts], device=self.device)
        column = torch.arange(length, device=self.device)
        mask = (column >= padding[:, None]).long() if bool(padding.any()) else None
        none = torch.zeros(len(texts), dtype=torch.int64, device=self.device)
        positions = self.family.positions(self.model.config, none, none, self.grid, length)
        cache = DynamicCache()
        self._run(ids, _shifted(positions, padding), None, mask=mask, cache=cache)
        layers: Any = cache.layers
        row_of = torch.zeros(len(MODALITIES), dtype=torch.int64, device=self.device)
        row_of[list(present)] = torch.arange(len(present), device=self.device)
        return Prefixes(row_of, [(layer.keys, layer.values) for layer in layers], mask)

    def _positions(self, batch: Batch) -> Tensor:
        length = batch["input_ids"].shape[1]
        positions = self.family.positions(self.model.config, batch["starts"], batch["counts"], self.grid, length)
        return positions if batch["mask"] is None else _shifted(positions, batch["padding"])

    def _run(
        self, ids: Tensor, positions: Tensor, visual: Visual | None, *, mask: Tensor | None, cache: Any = None
    ) -> Any:
        """Visual tokens into their places, and the language model over all."""
        embeddings = self.model.get_input_embeddings()(ids)
        placeholders = ids == self.image_token
        if visual is not None:
            embeddings = embeddings.masked_scatter(placeholders[..., None], visual.tokens.to(embeddings.dtype))
        return self.family.read(
            self.model, embeddings, positions, mask=mask, visual=visual, placeholders=placeholders, cache=cache
        )


def _at(hidden: Tensor, index: Tensor) -> Tensor:
    """[B, T, D] -> float32 [B, D] at `index` [B]."""
    return hidden[torch.arange(len(hidden), device=hidden.device), index].float()


def _part(batch: Batch, rows: Tensor) -> Batch:
    """Some rows of a batch whose images were seen already, without the padding that only others need."""
    part: Any = {k: v[rows] if isinstance(v, Tensor) and k != "pixels" else v for k, v in batch.items()}
    if part["mask"] is None:
        length = int(part["last"].max()) + 1
        part["input_ids"] = part["input_ids"][:, :length]
    part["pixels"] = None
    chosen: Batch = part
    return chosen


def _shifted(positions: Tensor, padding: Tensor) -> Tensor:
    """Positions of rows that are padded on the left: the token in column c is token number c - padding."""
    number = torch.arange(positions.shape[-1], device=positions.device) - padding[:, None]
    return positions.gather(-1, number.clamp(min=0).expand_as(positions))


def _cache_of(layers: list[tuple[Tensor, Tensor]]) -> DynamicCache:
    cache = DynamicCache()
    for number, (keys, values) in enumerate(layers):
        cache.update(keys, values, number)
    return cache
