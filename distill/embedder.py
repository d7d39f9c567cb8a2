"""Samples to a student's coordinates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reid.modality import Modality
from reid.sample import Sample
from student.model import StudentModel
from student.sentences import SentenceReader
from student.text import TextStudent
from teacher.batch import MODALITIES
from teacher.data.images import ImageReader

_AHEAD = 2
"""Batches that are read while one is computed."""


@dataclass
class StudentEmbedder:
    """Embeds samples with a student.

    Attributes:
        student: for images. text: for sentences, with `reader`; None: sentences are refused.
        batch: samples per pass. cache: MiB of decoded images to keep, for samples that are embedded again and again.
    """

    student: StudentModel
    text: TextStudent | None = None
    reader: SentenceReader | None = None
    batch: int = 64
    cache: int = 0
    _images: ImageReader = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._images = ImageReader(self.student.preprocessing, self.cache)
        scale, shift = self.student.preprocessing.scale_and_shift()
        self._scale, self._shift = (torch.from_numpy(v)[:, None, None] for v in (scale, shift))

    @property
    def device(self) -> torch.device:
        """Where the student's weights are."""
        return self.student.device

    def embed(self, samples: Sequence[Sample]) -> NDArray[np.float32]:
        """Coordinates float32 [n, k] of samples, in their order, not normalised.

        Raises:
            UserError: an image is missing or does not decode.
            ValueError: a sentence, and no text student.
        """
        out = np.empty((len(samples), self.student.config.dim), dtype=np.float32)
        shown = [row for row, sample in enumerate(samples) if sample.modality.is_image]
        told = [row for row, sample in enumerate(samples) if sample.modality is Modality.TEXT]
        training = self.student.training
        self.student.train(False)
        with torch.inference_mode():
            for rows, coordinates in (*self._see(samples, shown), *self._read(samples, told)):
                out[rows] = coordinates.float().cpu().numpy()
        self.student.train(training)
        return out

    def _see(self, samples: Sequence[Sample], shown: list[int]) -> Iterator[tuple[list[int], Tensor]]:
        jobs = [shown[start : start + self.batch] for start in range(0, len(shown), self.batch)]
        with ThreadPoolExecutor(1) as pool:
            ready: list[Future[Tensor]] = [pool.submit(self._pixels, samples, rows) for rows in jobs[:_AHEAD]]
            for number, rows in enumerate(jobs):
                pixels = ready.pop(0).result().to(self.device).float()
                if number + _AHEAD < len(jobs):
                    ready.append(pool.submit(self._pixels, samples, jobs[number + _AHEAD]))
                codes = torch.tensor([MODALITIES.index(samples[row].modality) for row in rows], device=self.device)
                scale, shift = self._scale.to(self.device), self._shift.to(self.device)
                yield rows, self.student(pixels * scale + shift, codes)

    def _pixels(self, samples: Sequence[Sample], rows: Sequence[int]) -> Tensor:
        paths = [path for row in rows if (path := samples[row].image) is not None]
        return torch.from_numpy(self._images.stack(paths))

    def _read(self, samples: Sequence[Sample], told: list[int]) -> Iterator[tuple[list[int], Tensor]]:
        if not told:
            return
        if self.text is None or self.reader is None:
            raise ValueError("a sentence was given, and there is no text student")
        training = self.text.training
        self.text.train(False)
        for start in range(0, len(told), self.batch):
            rows = told[start : start + self.batch]
            batch = self.reader.pad([self.reader.tokens(samples[row]) for row in rows])
            yield rows, self.text(**{name: value.to(self.device) for name, value in batch.items()})
        self.text.train(training)
