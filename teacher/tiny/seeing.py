"""First part of the pre-training: the vision tower learns which words people use of whom it sees.

The words of a person's sentences, in any order, are classified from all visual tokens at once, each at its place (the
towers turn patches by their position and add nothing to them, so that a mean over tokens hardly knows where they
were). This is pre-training from captions without a text encoder, "SuperClass" (arXiv 2411.03313).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import IterableDataset

from teacher.encoder import Encoder
from teacher.tiny.people import Captioned, Views

GREY = 0.3


class Photographs(IterableDataset[dict[str, Tensor]]):
    """Batches of photographs and whose they are, the same for the same seed."""

    def __init__(self, data: Captioned, encoder: Encoder, *, steps: int, batch: int, seed: int) -> None:
        self.data, self.steps, self.batch, self.seed = data, steps, batch, seed
        self.views = Views(data, encoder, GREY)

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        generator = np.random.default_rng(self.seed)
        for _ in range(self.steps):
            rows = generator.integers(0, len(self.data.person), self.batch)
            yield {"pixels": self.views(rows, generator), "people": torch.from_numpy(self.data.person[rows])}


class Seeing(nn.Module):
    """The vision tower and connector of an encoder, and a classifier of words."""

    words: Tensor

    def __init__(self, encoder: Encoder, data: Captioned) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("words", _words(data.sentences, encoder.model.config.text_config.vocab_size))
        tokens = encoder.family.visual_tokens(encoder.model.config, *_size(encoder))
        self.classifier = nn.Linear(tokens * encoder.backbone.width, self.words.shape[1])

    def forward(self, pixels: Tensor, people: Tensor) -> dict[str, Tensor]:
        """Cross-entropy in nats of the words of `people` [B], seen in `pixels` [B, 3, H, W]."""
        tokens = self.encoder.family.see(self.encoder.model, pixels).tokens
        logits = self.classifier(tokens.float().flatten(1))
        loss = nn.functional.cross_entropy(logits, self.words[people])
        return {"loss": loss, "seen": loss.detach()}


def _size(encoder: Encoder) -> tuple[int, int]:
    return encoder.backbone.preprocessing.height, encoder.backbone.preprocessing.width


def _words(sentences: list[list[list[int]]], vocabulary: int) -> Any:
    """float32 [people, words]: how much each word says about a person, sums 1; words that nobody uses left out."""
    used = torch.zeros(len(sentences), vocabulary)
    for row, said in zip(used, sentences, strict=True):
        row[[token for sentence in said for token in sentence]] = 1
    used = used[:, used.any(dim=0)]
    # What everybody says tells nobody apart: inverse document frequency.
    weighted = used * torch.log(1 / used.mean(dim=0))
    return weighted / weighted.sum(dim=1, keepdim=True)
