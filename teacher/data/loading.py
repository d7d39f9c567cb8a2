"""Training batches: which samples, read, augmented, tokenised, with their labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from reid.modality import Modality
from reid.sample import Sample
from reid.sampling import PeopleBatches
from teacher.batch import make_batch
from teacher.data.augmentation import augment_images, mask_tokens, random_numbers
from teacher.data.images import ImageReader
from teacher.encoder import Encoder
from teacher.settings import Recipe

Collator = TypeVar("Collator", bound=Callable[[Sequence[Any]], dict[str, Any]])


@dataclass(frozen=True)
class Draw:
    """A sample to be shown: its row, and the key of its augmentation."""

    row: int
    epoch: int
    place: int


class DrawBatches(Sampler[list[Draw]]):
    """The batches of `PeopleBatches` as draws."""

    def __init__(self, batches: PeopleBatches) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def set_epoch(self, epoch: int) -> None:
        """Which epoch comes next; called by the Trainer."""
        self.batches.set_epoch(epoch)

    def __iter__(self) -> Iterator[list[Draw]]:
        size = self.batches.people * self.batches.per_person
        first = size // self.batches.processes * self.batches.process
        for step, rows in enumerate(self.batches):
            start = step * size + first
            yield [Draw(row, self.batches.epoch, start + i) for i, row in enumerate(rows)]


class Draws(Dataset[Draw]):
    """Hands the draws of a batch on to the collator, which reads whole batches."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, draw: Any) -> Draw:
        assert isinstance(draw, Draw)
        return draw


class TrainingCollator:
    """Draws -> {"batch": a `Batch`, "people": int64 [B]}.

    Args:
        samples: what the draws' rows refer to.
        encoder: for prompts and preprocessing.
        recipe: for augmentation.
        people: person_id -> number from 0.
    """

    def __init__(self, samples: Sequence[Sample], encoder: Encoder, recipe: Recipe, people: dict[str, int]) -> None:
        self.samples, self.book, self.people = samples, encoder.book, people
        self.how, self.seed = recipe.augmentation, recipe.training.seed
        preprocessing = encoder.backbone.preprocessing
        self.reader = ImageReader(preprocessing, recipe.training.cache // max(1, recipe.training.workers))
        self.scale, self.shift = (torch.from_numpy(v)[:, None, None] for v in preprocessing.scale_and_shift())
        told = [s for s in samples if s.modality is Modality.TEXT]
        tokens, self.cut_captions = self.book.captions([s.text or "" for s in told])
        self.tokens = dict(zip([s.sample_id for s in told], tokens, strict=True))
        self.cameras = encoder.reader.cameras
        self.sentences: dict[str, list[list[int]]] | None = None
        if recipe.objective.continuation.weight:
            end = encoder.backbone.tokenizer.eos_token_id
            self.sentences = {person: [] for person in people}
            for sample, its in zip(told, tokens, strict=True):
                self.sentences[sample.person_id].append([*its, *([] if end is None else [end])])

    def __call__(self, draws: Sequence[Draw]) -> dict[str, Any]:
        chosen = [self.samples[draw.row] for draw in draws]
        numbers = random_numbers(self.seed, draws[0].epoch, [draw.place for draw in draws])
        images = [i for i, sample in enumerate(chosen) if sample.modality.is_image]
        pixels: Tensor | None = None
        if images:
            read = torch.from_numpy(self.reader.stack([self._path(chosen[i]) for i in images]))
            augmented = augment_images(read, [chosen[i].modality for i in images], numbers[images], self.how)
            pixels = augmented.mul_(self.scale).add_(self.shift)
        captions = [
            None if s.modality.is_image else mask_tokens(self.tokens[s.sample_id], numbers[i], self.how.mask_tokens)
            for i, s in enumerate(chosen)
        ]
        cameras = None if self.cameras is None else self.cameras.codes(s.camera_id for s in chosen)
        said = None if self.sentences is None else self._said([s.person_id for s in chosen], draws[0].epoch)
        return {
            "batch": make_batch(self.book, [s.modality for s in chosen], captions, pixels, cameras=cameras, said=said),
            "people": torch.tensor([self.people[s.person_id] for s in chosen]),
        }

    def _said(self, people: Sequence[str], epoch: int) -> list[list[int]]:
        """What is to be said of people: of each, one of its sentences in this epoch; nothing, if it has none."""
        assert self.sentences is not None
        said = {}
        for person in set(people):
            own = self.sentences[person]
            chosen = np.random.default_rng([self.seed, epoch, self.people[person]]).integers(max(1, len(own)))
            said[person] = own[chosen] if own else []
        return [said[person] for person in people]

    @staticmethod
    def _path(sample: Sample) -> Any:
        assert sample.image is not None
        return sample.image


class TrainingLoader(DataLoader[Draw], Generic[Collator]):
    """A DataLoader that passes the epoch on to its batches, and is not dealt out again by accelerate."""

    def __init__(self, batches: PeopleBatches, samples: Sequence[Sample], collator: Collator, workers: int) -> None:
        self.batches, self.collator = batches, collator
        super().__init__(
            Draws(len(samples)),
            batch_sampler=DrawBatches(batches),
            collate_fn=collator,
            num_workers=workers,
            persistent_workers=False,
            pin_memory=torch.cuda.is_available(),
        )

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer before each epoch."""
        self.batches.set_epoch(epoch)
