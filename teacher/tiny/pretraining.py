"""A short pre-training: describe synthetic people, photographed in RGB. Infrared and sketches stay unseen."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback, TrainingArguments

from edge_runtime.preprocess import Preprocessing
from reid.modality import Modality
from reid.progress import progress_bar
from reid.synthetic.world import World
from teacher.batch import Batch, make_batch
from teacher.encoder import Encoder
from teacher.prompts import Prompt


@dataclass(frozen=True)
class Captioned:
    """Photographs uint8 [n, H, W, 3] and, for each, the token ids of the sentences about its person."""

    photographs: NDArray[np.uint8]
    sentences: list[list[list[int]]]

    def __len__(self) -> int:
        return len(self.sentences)


def render(world: World, preprocessing: Preprocessing, encoder: Encoder) -> Captioned:
    """Every photograph of a world, in memory."""
    photographs: list[NDArray[np.uint8]] = []
    people: list[int] = []
    sentences: dict[int, list[str]] = {}
    for index in progress_bar(range(len(world)), what="drawing people", unit="samples"):
        place = world.place(index)
        if place.modality is Modality.RGB:
            photographs.append(preprocessing.fit(Image.fromarray(world.render(index))))
            people.append(place.person)
        elif place.modality is Modality.TEXT:
            sentences.setdefault(place.person, []).append(world.text(index))
    tokens = {person: encoder.book.captions(texts)[0] for person, texts in sentences.items()}
    return Captioned(np.stack(photographs), [tokens[person] for person in people])


class Describer(nn.Module):
    """Next-token loss on the sentence, given the photograph and the instruction."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(
        self,
        following: Tensor,
        input_ids: Tensor,
        starts: Tensor,
        counts: Tensor,
        last: Tensor,
        padding: Tensor,
        pixels: Tensor,
        mask: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """A `Batch` and `following` int64 [B, T], the token that follows each position, -100 where it does not count."""
        hidden = self.encoder.hidden(input_ids, starts, counts, padding, pixels, mask)
        counted = following != -100
        logits = self.encoder.model.get_output_embeddings()(hidden[counted])
        return {"loss": functional.cross_entropy(logits.float(), following[counted])}


class Examples(Dataset[tuple[int, int]]):
    """(photograph, which sentence), as many as the training needs, the same for the same seed."""

    def __init__(self, data: Captioned, count: int, seed: int) -> None:
        generator = np.random.default_rng(seed)
        rounds = -(-count // len(data))
        order = np.concatenate([generator.permutation(len(data)) for _ in range(rounds)])[:count]
        self.rows = [(int(row), int(generator.integers(len(data.sentences[row])))) for row in order]
        self.mirrored = generator.random(count) < 0.5

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[int, int, bool]:  # type: ignore[override]
        return (*self.rows[index], bool(self.mirrored[index]))


class Collator:
    """Prompt, photograph, sentence; what follows is the sentence and the end of the turn."""

    def __init__(self, data: Captioned, encoder: Encoder, preprocessing: Preprocessing) -> None:
        self.data, self.book = data, encoder.book
        scale, shift = preprocessing.scale_and_shift()
        self.scale, self.shift = torch.from_numpy(scale)[:, None, None], torch.from_numpy(shift)[:, None, None]
        tokenizer = encoder.backbone.tokenizer
        self.end: int = tokenizer.convert_tokens_to_ids("<|im_end|>")
        self.prompt = self.book.prompts[Modality.RGB]

    def __call__(self, rows: Sequence[tuple[int, int, bool]]) -> dict[str, Any]:
        pixels = torch.from_numpy(self.data.photographs[[row for row, _, _ in rows]]).permute(0, 3, 1, 2).float()
        mirrored = torch.tensor([flag for _, _, flag in rows])
        pixels[mirrored] = pixels[mirrored].flip(-1)
        sentences = [[*self.data.sentences[row][which], self.end] for row, which, _ in rows]
        return {**self._batch(sentences, pixels * self.scale + self.shift), "following": self._following(sentences)}

    def _batch(self, sentences: list[list[int]], pixels: Tensor) -> Batch:
        # The sentence is part of what is read, so it stands at the end of the suffix.
        batch = make_batch(self.book, [Modality.RGB] * len(sentences), [None] * len(sentences), pixels)
        longest = max(map(len, sentences))
        told = torch.zeros(len(sentences), longest, dtype=torch.int64)
        for row, sentence in zip(told, sentences, strict=True):
            row[: len(sentence)] = torch.tensor(sentence)
        return {**batch, "input_ids": torch.cat([batch["input_ids"], told], dim=1)}

    def _following(self, sentences: list[list[int]]) -> Tensor:
        asked = len(self.prompt.prefix) + len(self.book.image) + len(self.prompt.suffix)
        labels = torch.full((len(sentences), asked + max(map(len, sentences))), -100)
        for row, sentence in zip(labels, sentences, strict=True):
            row[asked - 1 : asked - 1 + len(sentence)] = torch.tensor(sentence)
        return labels


def pretrain(encoder: Encoder, data: Captioned, *, steps: int, batch: int, lr: float, seed: int) -> float:
    """Train every weight of the encoder's model to describe; returns the loss at the end, in nats per token."""
    encoder.model.requires_grad_(True)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=steps,
            per_device_train_batch_size=batch,
            learning_rate=lr,
            weight_decay=0.01,
            warmup_steps=max(1, steps // 20),
            lr_scheduler_type="cosine",
            logging_steps=max(1, steps // 10),
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            dataloader_drop_last=True,
            remove_unused_columns=False,
            dataloader_pin_memory=torch.cuda.is_available(),
            seed=seed,
        )
        collator = Collator(data, encoder, encoder.backbone.preprocessing)
        log = _Log(steps)
        trainer = Trainer(
            Describer(encoder), arguments, train_dataset=Examples(data, steps * batch, seed), data_collator=collator,
            callbacks=[log],
        )  # fmt: skip
        trainer.train()
    encoder.model.requires_grad_(False)
    return log.loss


class _Log(TrainerCallback):
    """Shows a bar and keeps the last loss."""

    def __init__(self, steps: int) -> None:
        self.loss = float("nan")
        self.bar = progress_bar(what="pre-training", unit="steps", total=steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar.update()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            self.loss = float(logs["loss"])
            self.bar.set_postfix(loss=f"{self.loss:.2f}")
            print(state.global_step, logs)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar.close()
