"""Sentences as the text student takes them: tokens of the teacher's tokenizer, padded on the right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from reid.sample import Sample


class SentenceReader:
    """Tokenises sentences.

    Args:
        tokenizer: of the teacher's base. longest: tokens of a sentence that are kept.
    """

    def __init__(self, tokenizer: Any, longest: int) -> None:
        self.tokenizer, self.longest = tokenizer, longest
        self._known: dict[str, list[int]] = {}

    def tokens(self, sample: Sample) -> list[int]:
        """Token ids of a sample's sentence; special tokens that it spells out are read as plain characters."""
        text = sample.text or ""
        if text not in self._known:
            ids = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]
            self._known[text] = list(ids[: self.longest])
        return self._known[text]

    def pad(self, sentences: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        """{"input_ids", "attention_mask"} int64 [n, T] of n sentences."""
        length = max(1, *map(len, sentences))
        ids = torch.zeros(len(sentences), length, dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for row, tokens in enumerate(sentences):
            ids[row, : len(tokens)] = torch.tensor(tokens, dtype=torch.int64)
            mask[row, : len(tokens)] = 1
        return {"input_ids": ids, "attention_mask": mask}
