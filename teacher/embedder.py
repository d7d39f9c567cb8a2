"""Samples to embeddings: grouped by modality, so that a prompt's common beginning is computed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reid.errors import UserError
from reid.modality import Modality
from reid.sample import Sample
from teacher.batch import make_batch, to_device
from teacher.data.images import ImageReader
from teacher.encoder import Encoder
from teacher.objective import Neck
from teacher.recipe import list_recipes, load_recipe

_AHEAD = 2
"""Batches that are read while one is computed."""


@dataclass
class Embedder:
    """Embeds samples with an encoder.

    Attributes:
        encoder: the encoder, in evaluation mode.
        neck: applied to the embeddings, if given.
        batch: samples per batch.
        cache: MiB of decoded images to keep, for samples that are embedded again and again.
        cut_captions: how many captions were longer than the recipe allows, so far.
    """

    encoder: Encoder
    neck: Neck | None = None
    batch: int = 64
    cache: int = 0
    cut_captions: int = 0
    _reader: ImageReader = field(init=False, repr=False)

    def __post_init__(self) -> None:
        preprocessing = self.encoder.backbone.preprocessing
        self._reader = ImageReader(preprocessing, self.cache)
        scale, shift = preprocessing.scale_and_shift()
        device = self.encoder.device
        self._scale, self._shift = (torch.from_numpy(v)[:, None, None].to(device) for v in (scale, shift))

    def embed(self, samples: Sequence[Sample]) -> NDArray[np.float32]:
        """Embeddings float32 [n, D] of samples, in their order, not normalised.

        Raises:
            UserError: an image is missing or does not decode, or the encoder does not read a sample's modality.
        """
        out = np.empty((len(samples), self.encoder.backbone.width), dtype=np.float32)
        for rows, embeddings in self.parts(samples):
            out[rows] = embeddings
        return out

    def parts(self, samples: Sequence[Sample]) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
        """The same batch by batch, as (row numbers, embeddings [rows, D])."""
        self._expect_readable(samples)
        captions = self._captions(samples)
        jobs = list(self._jobs(samples, captions))
        self.encoder.eval()
        with torch.inference_mode(), self.encoder.shared_prefixes(), ThreadPoolExecutor(1) as pool:
            ready: list[Future[Tensor | None]] = [pool.submit(self._read, samples, *job) for job in jobs[:_AHEAD]]
            for number, (modality, rows) in enumerate(jobs):
                pixels = ready.pop(0).result()
                if number + _AHEAD < len(jobs):
                    ready.append(pool.submit(self._read, samples, *jobs[number + _AHEAD]))
                told = [captions.get(row) for row in rows]
                cameras = self.encoder.reader.cameras
                codes = None if cameras is None else cameras.codes(samples[row].camera_id for row in rows)
                made = make_batch(self.encoder.book, [modality] * len(rows), told, pixels, cameras=codes)
                batch = to_device(made, self.encoder.device)
                if batch["pixels"] is not None:
                    batch["pixels"] = batch["pixels"].float() * self._scale + self._shift
                embeddings = self.encoder(batch, shared=True)
                if self.neck is not None:
                    embeddings = self.neck(embeddings)
                yield rows, embeddings.float().cpu().numpy()

    def _expect_readable(self, samples: Sequence[Sample]) -> None:
        for sample in samples:
            if sample.modality not in self.encoder.modalities:
                raise UserError(
                    f"{sample.sample_id}: is {sample.modality}, and this teacher reads only "
                    f"{', '.join(map(str, self.encoder.modalities))}; recipes that read sentences: "
                    f"{', '.join(name for name in list_recipes() if Modality.TEXT in load_recipe(name).modalities)}"
                )

    def _captions(self, samples: Sequence[Sample]) -> dict[int, list[int]]:
        rows = [row for row, sample in enumerate(samples) if sample.modality is Modality.TEXT]
        tokens, cut = self.encoder.book.captions([samples[row].text or "" for row in rows])
        self.cut_captions += cut
        return dict(zip(rows, tokens, strict=True))

    def _jobs(self, samples: Sequence[Sample], captions: dict[int, list[int]]) -> Iterator[tuple[Modality, list[int]]]:
        """Batches of one modality; sentences by length, so that little is padded."""
        for modality in Modality:
            rows = [row for row, sample in enumerate(samples) if sample.modality is modality]
            rows.sort(key=lambda row: len(captions.get(row, ())))
            for start in range(0, len(rows), self.batch):
                yield modality, rows[start : start + self.batch]

    def _read(self, samples: Sequence[Sample], modality: Modality, rows: Sequence[int]) -> Tensor | None:
        if not modality.is_image:
            return None
        paths = [path for row in rows if (path := samples[row].image) is not None]
        return torch.from_numpy(self._reader.stack(paths))
