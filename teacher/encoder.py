"""From a batch to embeddings: vision tower, connector and language model, read as the recipe says, no lm_head."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from reid.modality import Modality
from teacher.backbone import Backbone
from teacher.batch import MODALITIES, SILENT, Batch, only_rows, row_ends
from teacher.families import Visual
from teacher.prompts import PromptBook
from teacher.readout import Reader, States
from teacher.readout.last_token import LastToken
from teacher.settings import Prompts
from teacher.vision import shifted_patches


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


@dataclass(frozen=True)
class Said:
    """Where something is to be said: the states [n, D] that say it, in the weights' dtype, and the tokens int64 [n]."""

    states: Tensor
    tokens: Tensor


class Encoder(nn.Module):
    """A backbone, its prompts, and how an embedding is read.

    Args:
        backbone: the loaded base. prompts: of the recipe. reader: of the recipe's readout; default: the last token's
            state.

    Attributes:
        book: the prompts, tokenised.
        model: the `...ForConditionalGeneration`, whose lm_head is run only by `say`.
    """

    def __init__(self, backbone: Backbone, prompts: Prompts, reader: Reader | None = None) -> None:
        super().__init__()
        self.model = backbone.model
        self.reader = reader or LastToken()
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

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What it can read: those that it has prompts for."""
        return tuple(self.book.prompts)

    def forward(self, batch: Batch, *, shared: bool = False) -> Tensor:
        """Embeddings float32 [B, D], not normalised.

        Args:
            batch: the samples.
            shared: pass the beginning of each modality's prompt through the language model once instead of once per
                sample. The result is the same; rows must not be padded on the left.
        """
        return self.read_seen(batch, self.see(batch), shared=shared)[0]

    def read_seen(self, batch: Batch, visual: Visual | None, *, shared: bool) -> tuple[Tensor, Said | None]:
        """`forward` for images that were seen already, and what is to be said after the prompts.

        Images and sentences pass the language model apart: they differ in length, and padding is computed like tokens.
        """
        is_image = batch["counts"] > 0
        if bool(is_image.all()) or not bool(is_image.any()):
            return self._read_alike(batch, visual, shared)
        both = ((is_image.nonzero()[:, 0], visual), ((~is_image).nonzero()[:, 0], None))
        parts = [self._read_alike(only_rows(batch, rows), seen, shared) for rows, seen in both]
        out = torch.empty(len(is_image), self.backbone.width, device=is_image.device)
        embeddings = out.index_put((torch.cat([rows for rows, _ in both]),), torch.cat([part for part, _ in parts]))
        said = [its for _, its in parts if its is not None]
        if not said:
            return embeddings, None
        return embeddings, Said(torch.cat([its.states for its in said]), torch.cat([its.tokens for its in said]))

    def see(self, batch: Batch) -> Visual | None:
        """The batch's images through vision tower and connector; None if it has none."""
        pixels = batch["pixels"]
        if pixels is None or not len(pixels):
            return None
        shift = self.reader.patch_shift(batch)
        embedding = self.family.patch_embedding(self.model)[0]
        with nullcontext() if shift is None else shifted_patches(embedding, shift):
            return self.family.see(self.model, pixels)

    def read(self, batch: Batch, visual: Visual | None) -> Tensor:
        """Hidden states [B, T, D] of whole prompts after the final norm, in the weights' dtype."""
        states: Tensor = self._run(
            batch["input_ids"], self._positions(batch), visual, mask=batch["mask"]
        ).last_hidden_state
        return states

    def say(self, states: Tensor) -> Tensor:
        """Logits [n, vocabulary] of the tokens after states [n, D]: the lm_head, which no embedding needs."""
        logits: Tensor = self.model.get_output_embeddings()(states)
        return logits

    @contextmanager
    def shared_prefixes(self) -> Iterator[None]:
        """Within the context prefixes are computed once for all batches. The weights must not change."""
        self._kept = {}
        try:
            yield
        finally:
            self._kept = None

    def _read_alike(self, batch: Batch, visual: Visual | None, shared: bool) -> tuple[Tensor, Said | None]:
        states = None
        if self.reader.needs_language or batch["following"] is not None:
            passes = self.reader.passes_gradient or batch["following"] is not None
            with nullcontext() if passes else torch.no_grad():
                states = self._states(batch, visual, shared)
        looked_at = states if states is None or self.reader.passes_gradient else states.detach()
        embeddings: Tensor = self.reader(batch, looked_at, visual)
        if states is None or batch["following"] is None:
            return embeddings, None
        row, column = torch.nonzero(batch["following"] != SILENT, as_tuple=True)
        where = column - states.first[row]
        return embeddings, Said(states.hidden[row, where], batch["following"][row, column])

    def _states(self, batch: Batch, visual: Visual | None, shared: bool) -> States:
        if shared:
            return self._read_shared(batch, visual)
        return States(self.read(batch, visual), torch.zeros_like(batch["last"]))

    def _read_shared(self, batch: Batch, visual: Visual | None) -> States:
        """States of prompts that go on from their prefixes."""
        if batch["mask"] is not None:
            raise ValueError("rows that share their prefixes are padded on the right")
        prefixes = self._prefixes(batch["modalities"])
        rows = prefixes.row_of[batch["modalities"]]
        # What follows the prefix, moved to the left.
        starts = batch["starts"]
        ends = self.reader.ends(batch) if batch["following"] is None else row_ends(batch)
        length = int((ends - starts).max())
        columns = starts[:, None] + torch.arange(length, device=starts.device)
        columns = columns.clamp(max=batch["input_ids"].shape[1] - 1)
        positions = self._positions(batch)
        positions = positions.gather(-1, columns.expand(*positions.shape[:-1], length))
        mask = prefixes.mask
        if mask is not None:
            mask = torch.cat([mask[rows], mask.new_ones(len(rows), length)], dim=1)
        cache = _cache_of([(keys[rows], values[rows]) for keys, values in prefixes.layers])
        ids = batch["input_ids"].gather(1, columns)
        return States(self._run(ids, positions, visual, mask=mask, cache=cache).last_hidden_state, starts)

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


def _shifted(positions: Tensor, padding: Tensor) -> Tensor:
    """Positions of rows that are padded on the left: the token in column c is token number c - padding."""
    number = torch.arange(positions.shape[-1], device=positions.device) - padding[:, None]
    return positions.gather(-1, number.clamp(min=0).expand_as(positions))


def _cache_of(layers: list[tuple[Tensor, Tensor]]) -> DynamicCache:
    cache = DynamicCache()
    for number, (keys, values) in enumerate(layers):
        cache.update(keys, values, number)
    return cache
