"""A short pre-training on synthetic people in RGB and text. Infrared and sketches stay unseen.

One pass serves three losses: what the vision tower makes of a photograph is to be near what it makes of others of the
same person (vision towers are pre-trained by contrast), so is the hidden state of the prompt's last token, sentences
included (as with the embedders among multimodal LLMs), and the tokens that follow the prompt are to be a sentence about
the person (as with all of them).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, Sampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from reid.modality import Modality
from reid.progress import progress_bar
from reid.synthetic.world import World
from reid.synthetic.write import write_world
from teacher.batch import Batch, make_batch
from teacher.data.images import ImageReader
from teacher.encoder import Encoder
from teacher.families import Visual
from teacher.objective.infonce import infonce
from teacher.objective.neck import Neck

_TEMPERATURE = 0.2
_PHOTOGRAPHS, _SENTENCES = 3, 1
"""Of each person in a batch."""
_PAD = 4


@dataclass(frozen=True)
class Captioned:
    """People: photographs uint8 [n, H, W, 3], whose they are [n], and the token ids of each person's sentences."""

    photographs: NDArray[np.uint8]
    person: NDArray[np.int64]
    sentences: list[list[list[int]]]


@dataclass(frozen=True)
class Example:
    """What is shown of a person (a photograph's row or a sentence's number) and what is to be said."""

    person: int
    photograph: int | None
    sentence: int
    told: int
    mirrored: bool
    shift: tuple[int, int]


def render(world: World, encoder: Encoder, workers: int) -> Captioned:
    """Every photograph and sentence of a world, in memory."""
    reader = ImageReader(encoder.backbone.preprocessing)
    with tempfile.TemporaryDirectory() as folder:
        write_world(world, Path(folder) / "people", workers=workers)
        samples = world.samples(Path(folder) / "people")
        photographs = [sample for sample in samples if sample.image is not None]
        pixels = np.stack([reader.read(Path(sample.image or "")) for sample in photographs])
    people = {world.person_id(number): number for number in range(world.people)}
    sentences: list[list[str]] = [[] for _ in people]
    for sample in samples:
        if sample.text is not None:
            sentences[people[sample.person_id]].append(sample.text)
    tokens = [encoder.book.captions(texts)[0] for texts in sentences]
    return Captioned(pixels, np.array([people[sample.person_id] for sample in photographs]), tokens)


class Examples(Sampler[list[Example]]):
    """Batches of people, a few photographs and a sentence of each, the same for the same seed."""

    def __init__(self, data: Captioned, steps: int, people: int, seed: int) -> None:
        self.data, self.steps, self.people, self.seed = data, steps, people, seed

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[Example]]:
        generator = np.random.default_rng(self.seed)
        rows = [np.flatnonzero(self.data.person == person) for person in range(len(self.data.sentences))]
        for _ in range(self.steps):
            batch = []
            for person in generator.choice(len(rows), self.people, replace=False).tolist():
                chosen = generator.permutation(rows[person])[:_PHOTOGRAPHS]
                for photograph in [*chosen.tolist(), *[None] * _SENTENCES]:
                    shown, told = generator.permutation(len(self.data.sentences[person]))[:2].tolist()
                    y, x = generator.integers(-_PAD, _PAD + 1, 2).tolist()
                    batch.append(Example(person, photograph, shown, told, bool(generator.random() < 0.5), (y, x)))
            yield batch


class _Handed(Dataset[Example]):
    """Hands examples on to the collator."""

    def __getitem__(self, example: Any) -> Example:
        assert isinstance(example, Example)
        return example


class Collator:
    """What is shown, and one photograph of each person with what is to be said about it."""

    def __init__(self, data: Captioned, encoder: Encoder) -> None:
        self.data, self.book = data, encoder.book
        scale, shift = encoder.backbone.preprocessing.scale_and_shift()
        self.scale, self.shift = torch.from_numpy(scale)[:, None, None], torch.from_numpy(shift)[:, None, None]
        self.end: int = encoder.backbone.tokenizer.convert_tokens_to_ids("<|im_end|>")

    def __call__(self, examples: Sequence[Example]) -> dict[str, Any]:
        modalities = [Modality.TEXT if e.photograph is None else Modality.RGB for e in examples]
        captions = [self.data.sentences[e.person][e.sentence] if e.photograph is None else None for e in examples]
        batch = make_batch(self.book, modalities, captions, self._pixels(examples))
        images = [e for e in examples if e.photograph is not None]
        # The first photograph of each person is described.
        described = list(range(0, len(images), _PHOTOGRAPHS))
        said, following = self._said([self.data.sentences[images[i].person][images[i].told] for i in described])
        people = torch.tensor([e.person for e in examples])
        return {
            "batch": batch,
            "people": people,
            "said": said,
            "following": following,
            "described": torch.tensor(described),
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

    def _pixels(self, examples: Sequence[Example]) -> Tensor:
        images = []
        for example in examples:
            if example.photograph is not None:
                image = np.roll(self.data.photographs[example.photograph], example.shift, axis=(0, 1))
                images.append(image[:, ::-1] if example.mirrored else image)
        return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() * self.scale + self.shift


class Pretrained(nn.Module):
    """The losses."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.neck, self.tower_neck = Neck(encoder.backbone.width, 1), Neck(encoder.backbone.width, 1)

    def forward(
        self, batch: Batch, people: Tensor, said: Batch, following: Tensor, described: Tensor
    ) -> dict[str, Tensor]:
        """Losses of a batch of photographs and sentences, and of what is `said` about the `described` photographs."""
        visual = self.encoder.see(batch)
        assert visual is not None
        modalities, shown = batch["modalities"], batch["counts"] > 0
        embeddings = self.neck(self.encoder.read_last(batch, visual, shared=True))
        together = infonce(embeddings, people, modalities, _TEMPERATURE, within=True)
        towers = self.tower_neck(visual.tokens.float().mean(dim=1))
        seen = infonce(towers, people[shown], modalities[shown], _TEMPERATURE, within=True)
        hidden = self.encoder.read(said, Visual(visual.tokens[described]))
        counted = following != -100
        logits = self.encoder.model.get_output_embeddings()(hidden[counted])
        told = functional.cross_entropy(logits.float(), following[counted])
        loss = together + seen + 0.5 * told
        return {"loss": loss, "together": together.detach(), "seen": seen.detach(), "said": told.detach()}


class _Pretrainer(Trainer):
    """Keeps the losses for the report."""

    losses: dict[str, float]

    def __init__(self, *args: Any, loader: DataLoader[Example], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.remove_callback(PrinterCallback)
        self.loader = loader
        self.losses = {}

    def get_train_dataloader(self) -> DataLoader[Any]:
        return self.loader

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        outputs = model(**inputs)
        for name in ("together", "seen", "said"):
            value = float(outputs[name])
            self.losses[name] = 0.9 * self.losses.get(name, value) + 0.1 * value
        return (outputs["loss"], outputs) if return_outputs else outputs["loss"]


def pretrain(encoder: Encoder, data: Captioned, *, steps: int, people: int, lr: float, seed: int) -> dict[str, float]:
    """Train every weight of the encoder's model.

    Args:
        encoder: whose model is trained. data: whom on.
        steps: of `people` people each. lr: learning rate at its highest. seed: of the batches.

    Returns:
        The losses at the end, in nats: "together" and "seen" (InfoNCE), and "said", per token.
    """
    encoder.model.requires_grad_(True)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, max_steps=steps, learning_rate=lr, weight_decay=0.01, warmup_steps=max(1, steps // 12),
            lr_scheduler_type="cosine", logging_strategy="no", save_strategy="no", report_to=[], disable_tqdm=True,
            remove_unused_columns=False, dataloader_pin_memory=torch.cuda.is_available(), seed=seed,
        )  # fmt: skip
        loader = DataLoader(
            _Handed(), batch_sampler=Examples(data, steps, people, seed), collate_fn=Collator(data, encoder)
        )
        trainer = _Pretrainer(Pretrained(encoder), arguments, loader=loader, callbacks=[_Bar(steps)])
        trainer.train()
    encoder.model.requires_grad_(False)
    return trainer.losses


class _Bar(TrainerCallback):
    """Shows how far it is."""

    def __init__(self, steps: int) -> None:
        self.bar = progress_bar(what="pre-training", unit="steps", total=steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar.update()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar.close()
