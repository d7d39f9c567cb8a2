"""A short pre-training on synthetic people in RGB and text. Infrared and sketches stay unseen.

One pass serves two losses: the hidden state of the prompt's last token is to be near that of other photographs and
sentences of the same person (as the embedders among multimodal LLMs are pre-trained), and the tokens that follow the
prompt are to be a sentence about the person (as all of them are).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, Sampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from edge_runtime.preprocess import Preprocessing
from reid.modality import Modality
from reid.progress import progress_bar
from reid.synthetic.world import World
from teacher.batch import make_batch
from teacher.encoder import Encoder
from teacher.objective.infonce import infonce
from teacher.objective.neck import Neck

_TEMPERATURE = 0.1
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


def render(world: World, preprocessing: Preprocessing, encoder: Encoder) -> Captioned:
    """Every photograph and sentence of a world, in memory."""
    photographs: list[NDArray[np.uint8]] = []
    people: list[int] = []
    sentences: list[list[str]] = [[] for _ in range(world.people)]
    for index in progress_bar(range(len(world)), what="drawing people", unit="samples"):
        place = world.place(index)
        if place.modality is Modality.RGB:
            photographs.append(preprocessing.fit(Image.fromarray(world.render(index))))
            people.append(place.person)
        elif place.modality is Modality.TEXT:
            sentences[place.person].append(world.text(index))
    tokens = [encoder.book.captions(texts)[0] for texts in sentences]
    return Captioned(np.stack(photographs), np.array(people), tokens)


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
    """Prompt, photograph or sentence, and the sentence that is to be said."""

    def __init__(self, data: Captioned, encoder: Encoder) -> None:
        self.data, self.book = data, encoder.book
        scale, shift = encoder.backbone.preprocessing.scale_and_shift()
        self.scale, self.shift = torch.from_numpy(scale)[:, None, None], torch.from_numpy(shift)[:, None, None]
        self.end: int = encoder.backbone.tokenizer.convert_tokens_to_ids("<|im_end|>")

    def __call__(self, examples: Sequence[Example]) -> dict[str, Any]:
        modalities = [Modality.TEXT if e.photograph is None else Modality.RGB for e in examples]
        shown = [self.data.sentences[e.person][e.sentence] if e.photograph is None else None for e in examples]
        batch = make_batch(self.book, modalities, shown, self._pixels(examples))
        told = [[*self.data.sentences[e.person][e.told], self.end] for e in examples]
        ends = (batch["last"] + 1).tolist()
        length = max(end + len(tokens) for end, tokens in zip(ends, told, strict=True))
        ids = functional.pad(batch["input_ids"], (0, max(0, length - batch["input_ids"].shape[1])))
        following = torch.full_like(ids, -100)
        for row, (end, tokens) in enumerate(zip(ends, told, strict=True)):
            said = torch.tensor(tokens)
            ids[row, end : end + len(tokens)] = said
            following[row, end - 1 : end - 1 + len(tokens)] = said
        codes = torch.tensor([modality is Modality.TEXT for modality in modalities]).long()
        people = torch.tensor([e.person for e in examples])
        return {**batch, "input_ids": ids, "following": following, "people": people, "modalities": codes}

    def _pixels(self, examples: Sequence[Example]) -> Tensor:
        images = []
        for example in examples:
            if example.photograph is not None:
                image = np.roll(self.data.photographs[example.photograph], example.shift, axis=(0, 1))
                images.append(image[:, ::-1] if example.mirrored else image)
        return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() * self.scale + self.shift


class Pretrained(nn.Module):
    """Both losses."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.neck = Neck(encoder.backbone.width, 1)

    def forward(
        self,
        input_ids: Tensor,
        starts: Tensor,
        counts: Tensor,
        last: Tensor,
        padding: Tensor,
        pixels: Tensor,
        mask: Tensor | None,
        following: Tensor,
        people: Tensor,
        modalities: Tensor,
    ) -> dict[str, Tensor]:
        """A `Batch` with `following` int64 [B, T], the token after each position, -100 where it does not count."""
        hidden = self.encoder.hidden(input_ids, starts, counts, padding, pixels, mask)
        embeddings = self.neck(hidden[torch.arange(len(hidden)), last])
        together = infonce(embeddings, people, modalities, _TEMPERATURE, within=True)
        counted = following != -100
        logits = self.encoder.model.get_output_embeddings()(hidden[counted])
        said = functional.cross_entropy(logits.float(), following[counted])
        return {"loss": together + 0.5 * said, "together": together.detach(), "said": said.detach()}


class _Pretrainer(Trainer):
    """Keeps both losses for the report."""

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
        for name in ("together", "said"):
            value = float(outputs[name])
            self.losses[name] = 0.9 * self.losses.get(name, value) + 0.1 * value
        return (outputs["loss"], outputs) if return_outputs else outputs["loss"]


def pretrain(encoder: Encoder, data: Captioned, *, steps: int, people: int, lr: float, seed: int) -> dict[str, float]:
    """Train every weight of the encoder's model.

    Args:
        encoder: whose model is trained. data: whom on.
        steps: of `people` people each. lr: learning rate at its highest. seed: of the batches.

    Returns:
        The two losses at the end: "together" (InfoNCE), and "said", in nats per token.
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
