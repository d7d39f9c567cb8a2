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


SILENT = -100
"""In the place of a token that does not count; what torch's cross-entropy leaves out."""


class Batch(TypedDict):
    """B samples.

    Attributes:
        input_ids: int64 [B, T].
        modalities: int64 [B], the place of each sample's modality in `MODALITIES`.
        starts: int64 [B], how long a row's prefix is; there its item begins.
        counts: int64 [B], how many placeholders of visual tokens follow there; 0 for text.
        items: int64 [B], how many tokens the item has: placeholders, or words of the caption.
        last: int64 [B], the position whose hidden state is the embedding: the last token of the prompt.
        padding: int64 [B], how many tokens of padding stand on the left.
        cameras: int64 [B], codes of the cameras as the readout counts them; -1 where unknown.
        pixels: float32 [images, 3, H, W], normalised, in the order of the rows that have one.
        mask: int64 [B, T], 1 for tokens; None if padding is on the right.
        following: int64 [B, T], the token that is to be said after each column, `SILENT` where none is; None if nothing
            is to be said. What is said stands after the prompt.
    """

    input_ids: Tensor
    modalities: Tensor
    starts: Tensor
    counts: Tensor
    items: Tensor
    last: Tensor
    padding: Tensor
    cameras: Tensor
    pixels: Tensor | None
    mask: Tensor | None
    following: Tensor | None


def make_batch(
    book: PromptBook,
    modalities: Sequence[Modality],
    captions: Sequence[Sequence[int] | None],
    pixels: Tensor | None,
    *,
    cameras: Sequence[int] | None = None,
    said: Sequence[Sequence[int]] | None = None,
    pad: int = 0,
    left: bool = False,
) -> Batch:
    """Put prompts around items.

    Args:
        book: the prompts.
        modalities: [B] of the samples.
        captions: [B] token ids of the caption, None for images.
        pixels: of the images, in order.
        cameras: [B] codes of the cameras; None: all unknown.
        said: [B] tokens that are to follow the prompt, each perhaps none; goes with padding on the right.
        pad: id of the padding; it is never looked at.
        left: pad on the left.
    """
    if left and said is not None:
        raise ValueError("rows that go on after the prompt are padded on the right")
    rows, starts, counts, items = [], [], [], []
    for modality, caption in zip(modalities, captions, strict=True):
        prompt = book.prompts[modality]
        item = book.image if caption is None else tuple(caption)
        rows.append((*prompt.prefix, *item, *prompt.suffix))
        starts.append(len(prompt.prefix))
        counts.append(len(item) if caption is None else 0)
        items.append(len(item))
    lengths = torch.tensor([len(row) for row in rows])
    following = None
    if said is not None:
        rows = [(*row, *its) for row, its in zip(rows, said, strict=True)]
        following = _following(lengths.tolist(), said, max(map(len, rows)))
    length = max(map(len, rows))
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
        "items": torch.tensor(items),
        "padding": padding,
        "cameras": torch.full_like(lengths, -1) if cameras is None else torch.tensor(cameras),
        "pixels": pixels,
        "mask": (torch.arange(length) >= padding[:, None]).long() if left else None,
        "following": following,
    }


def _following(prompts: Sequence[int], said: Sequence[Sequence[int]], length: int) -> Tensor:
    """int64 [B, length], what comes after each column of rows whose prompts are so long."""
    following = torch.full((len(said), length), SILENT, dtype=torch.int64)
    for row, prompt, its in zip(following, prompts, said, strict=True):
        row[prompt - 1 : prompt - 1 + len(its)] = torch.tensor(its, dtype=torch.int64)
    return following


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch on a device."""
    moved: Any = {k: v.to(device, non_blocking=True) if isinstance(v, Tensor) else v for k, v in batch.items()}
    batch_there: Batch = moved
    return batch_there


def only_rows(batch: Batch, rows: Tensor) -> Batch:
    """Some rows [b] of a batch whose images were seen already, without the padding that only others need."""
    part: Any = {k: v[rows] if isinstance(v, Tensor) and k != "pixels" else v for k, v in batch.items()}
    if part["mask"] is None:
        length = int(row_ends(part).max())
        part["input_ids"] = part["input_ids"][:, :length]
        if part["following"] is not None:
            part["following"] = part["following"][:, :length]
    part["pixels"] = None
    chosen: Batch = part
    return chosen


def row_ends(batch: Batch) -> Tensor:
    """int64 [B], how many columns of each row are needed: to the prompt's end, or to the last token that is said."""
    ends = batch["last"] + 1
    if batch["following"] is None:
        return ends
    return ends + (batch["following"] != SILENT).sum(dim=1).sub(1).clamp(min=0)
