"""Training batches of a student: images augmented, sentences tokenised, the teacher's embedding of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from distill.data.targets import Targets
from distill.data.views import view_numbers
from edge_runtime.preprocess import Preprocessing
from reid.modality import Modality
from reid.sample import Sample
from student.sentences import SentenceReader
from teacher.batch import MODALITIES
from teacher.data.augmentation import augment_images, mask_tokens, random_numbers
from teacher.data.images import ImageReader
from teacher.data.loading import Draw
from teacher.settings import Augmentation, Training


class DistillCollator:
    """Draws -> what `TrainableStudent.forward` takes.

    Args:
        samples: what the draws' rows refer to.
        targets: the teacher's embeddings of them. If it has seen views, the student is shown the same ones; otherwise
            every time another one, and the teacher's embedding is that of the image as it is.
        preprocessing: of the student. how: augmentation. training: for seed, cache and workers.
        people: person_id -> number from 0.
        reader: of sentences, if a text student trains too; otherwise the teacher's embedding stands for a sentence.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        targets: Targets,
        preprocessing: Preprocessing,
        how: Augmentation,
        training: Training,
        people: dict[str, int],
        reader: SentenceReader | None = None,
    ) -> None:
        self.samples, self.targets, self.people, self.text = samples, targets, people, reader
        self.how, self.seed = how, training.seed
        self.images = ImageReader(preprocessing, training.cache // max(1, training.workers))
        self.scale, self.shift = (torch.from_numpy(v)[:, None, None] for v in preprocessing.scale_and_shift())

    def __call__(self, draws: Sequence[Draw]) -> dict[str, Any]:
        chosen = [self.samples[draw.row] for draw in draws]
        views = self._views(draws)
        numbers = self._numbers(draws, views)
        shown = [i for i, sample in enumerate(chosen) if sample.modality.is_image]
        pixels = None
        if shown:
            paths = [path for i in shown if (path := chosen[i].image) is not None]
            read = torch.from_numpy(self.images.stack(paths))
            pixels = augment_images(read, [chosen[i].modality for i in shown], numbers[shown], self.how)
            pixels = pixels.mul_(self.scale).add_(self.shift)
        sentences = None
        if self.text is not None:
            told = [
                mask_tokens(self.text.tokens(sample), numbers[i], self.how.mask_tokens)
                for i, sample in enumerate(chosen)
                if sample.modality is Modality.TEXT
            ]
            sentences = self.text.pad(told) if told else None
        return {
            "pixels": pixels,
            "sentences": sentences,
            "modalities": torch.tensor([MODALITIES.index(sample.modality) for sample in chosen]),
            "people": torch.tensor([self.people[sample.person_id] for sample in chosen]),
            "teacher": torch.from_numpy(self.targets.embeddings([draw.row for draw in draws], views)),
            "rows": torch.tensor([draw.row for draw in draws]),
        }

    def _views(self, draws: Sequence[Draw]) -> list[int | None]:
        """Which stored view of each sample comes next: another one each epoch, and None where there is none."""
        return [
            (draw.epoch + draw.place) % self.targets.views
            if self.targets.views and self.samples[draw.row].modality.is_image
            else None
            for draw in draws
        ]

    def _numbers(self, draws: Sequence[Draw], views: Sequence[int | None]) -> NDArray[np.float64]:
        """[n, 16] random numbers of what happens to each sample."""
        numbers = random_numbers(self.seed, draws[0].epoch, [draw.place for draw in draws])
        for i, (draw, view) in enumerate(zip(draws, views, strict=True)):
            if view is not None:
                numbers[i] = view_numbers(self.seed, view, [self.samples[draw.row].sample_id])
        return numbers
