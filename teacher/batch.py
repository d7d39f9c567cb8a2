"""Samples as the tensors that a teacher takes. Rows are padded on the right unless asked otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

import torch
from torch import Tensor

from reid.modality import Modality
from teacher.prompts import PromptBook

MODALITIES = tuple(Modality)
"""A modality's code is its place here."""


class Batch(TypedDict):
    """B samples.

    Attributes:
        input_ids: int64 [B, T].
        modalities: int64 [B], the place of each sample's modality in `MODALITIES`.
        starts: int64 [B], how long a row's prefix is; there its item begins.
        counts: int64 [B], how many placeholders of visual tokens follow there; 0 for text.
        last: int64 [B], the position whose hidden state is the embedding: the last token of the prompt.
        padding: int64 [B], how many tokens of padding stand on the left.
        pixels: float32 [images, 3, H, W], normalised, in the order of the rows that have one.
        mask: int64 [B, T], 1 for tokens; None if padding is on the right.
    """

    input_ids: Tensor
    modalities: Tensor
    starts: Tensor
    counts: Tensor
    last: Tensor
    padding: Tensor
    pixels: Tensor | None
    mask: Tensor | None


def make_batch(
    book: PromptBook,
    modalities: Sequence[Modality],
    captions: Sequence[Sequence[int] | None],
    pixels: Tensor | None,
    *,
    pad: int = 0,
    left: bool = False,
) -> Batch:
    """Put prompts around items.

    Args:
        book: the prompts.
        modalities: [B] of the samples.
        captions: [B] token ids of the caption, None for images.
        pixels: of the images, in order.
        pad: id of the padding; it is never looked at.
        left: pad on the left.
    """
    rows, starts, counts = [], [], []
    for modality, caption in zip(modalities, captions, strict=True):
        prompt = book.prompts[modality]
        item = book.image if caption is None else tuple(caption)
        rows.append((*prompt.prefix, *item, *prompt.suffix))
        starts.append(len(prompt.prefix))
        counts.append(len(item) if caption is None else 0)
    lengths = torch.tensor([len(row) for row in rows])
    length = int(lengths.max())
    ids = torch.full((len(rows), length), pad, dtype=torch.int64)
    for row, tokens in zip(ids, rows, strict=True):
        where = slice(length - len(tokens), None) if left else slice(len(tokens))
        row[where] = torch.tensor(tokens)
    padding = length - lengths if left else torch.zeros_like(lengths)
    return {
        "input_ids": ids,
        "modalities": torch.tensor([MODALITIES.index(modality) for modality in modalities]),
        "starts": torch.tensor(starts),
        "counts": torch.tensor(counts),
        "last": torch.full_like(lengths, length - 1) if left else lengths - 1,
        "padding": padding,
        "pixels": pixels,
        "mask": (torch.arange(length) >= padding[:, None]).long() if left else None,
    }


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch on a device."""
    moved: Any = {k: v.to(device, non_blocking=True) if isinstance(v, Tensor) else v for k, v in batch.items()}
    batch_there: Batch = moved
    return batch_there
