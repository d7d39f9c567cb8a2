"""Second part of the pre-training: the whole model learns to describe whom it sees, and to tell them apart.

The tokens that follow a photograph's prompt are to be a sentence about the person (as with all multimodal LLMs), and
the hidden state of the prompt's last token is to be near that of other photographs of the same person. Sentences are
only ever answers here: what they are as a query is left to LoRA-SFT, as are infrared and sketches.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import IterableDataset

from reid.modality import Modality
from teacher.batch import Batch, make_batch
from teacher.encoder import Encoder
from teacher.families import Visual
from teacher.objective.infonce import infonce
from teacher.objective.neck import Neck
from teacher.tiny.people import Captioned, Views

_TEMPERATURE = 0.2
_PHOTOGRAPHS = 4
"""Of each person in a batch; the first of them is described."""


class Described(IterableDataset[dict[str, Any]]):
    """Batches of people, a few photographs and a sentence of each, the same for the same seed."""

    def __init__(self, data: Captioned, encoder: Encoder, *, steps: int, people: int, seed: int) -> None:
        self.data, self.book, self.steps, self.people, self.seed = data, encoder.book, steps, people, seed
        self.views = Views(data, encoder, grey=0.0)
        self.end: int = encoder.backbone.tokenizer.convert_tokens_to_ids("<|im_end|>")

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[dict[str, Any]]:
        generator = np.random.default_rng(self.seed)
        rows = [np.flatnonzero(self.data.person == person) for person in range(len(self.data.sentences))]
        for _ in range(self.steps):
            people = generator.choice(len(rows), self.people, replace=False)
            photographs = np.concatenate([generator.permutation(rows[person])[:_PHOTOGRAPHS] for person in people])
            owners = self.data.person[photographs]
            described = np.flatnonzero(np.diff(owners, prepend=-1))
            sentences = [self.data.sentences[person] for person in people]
            told = [of_person[int(generator.integers(len(of_person)))] for of_person in sentences]
            pixels = self.views(photographs, generator)
            said, following = self._said(told)
            yield {
                "batch": make_batch(self.book, [Modality.RGB] * len(owners), [None] * len(owners), pixels),
                "people": torch.from_numpy(owners),
                "said": said,
                "following": following,
                "described": torch.from_numpy(described),
            }

    def _said(self, sentences: list[list[int]]) -> tuple[Batch, Tensor]:
        """Prompts with the sentences after them, and the token that follows each position, -100 where none counts."""
        batch = make_batch(self.book, [Modality.RGB] * len(sentences), [None] * len(sentences), None)
        begin = batch["input_ids"].shape[1]
        told = torch.full((len(sentences), max(map(len, sentences)) + 1), -100)
        for row, sentence in zip(told, sentences, strict=True):
            row[: len(sentence) + 1] = torch.tensor([*sentence, self.end])
        ids = torch.cat([batch["input_ids"], told.clamp(min=0)], dim=1)
        following = torch.cat([torch.full((len(told), begin - 1), -100), told, torch.full((len(told), 1), -100)], dim=1)
        return {**batch, "input_ids": ids}, following


class Reading(nn.Module):
    """An encoder with the losses of this part."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.neck = Neck(encoder.backbone.width, 1)

    def forward(
        self, batch: Batch, people: Tensor, said: Batch, following: Tensor, described: Tensor
    ) -> dict[str, Tensor]:
        """Losses of a batch of photographs, and of what is `said` about the `described` ones."""
        visual = self.encoder.see(batch)
        assert visual is not None
        embeddings = self.neck(self.encoder.read_seen(batch, visual, shared=True)[0])
        together = infonce(embeddings, people, batch["modalities"], _TEMPERATURE, within=True)
        hidden = self.encoder.read(said, Visual(visual.tokens[described]))
        counted = following != -100
        logits = self.encoder.model.get_output_embeddings()(hidden[counted])
        told = functional.cross_entropy(logits.float(), following[counted])
        return {"loss": together + told, "together": together.detach(), "said": told.detach()}
