"""What the live fp32 student makes of crops and sentences: what every precision is held against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from export.crops import Crops
from export.source import Source
from reid.sample import Sample


def reference_embeddings(source: Source, crops: Crops, *, batch: int = 16) -> NDArray[np.float32]:
    """float32 [n, k] coordinates of crops, not normalised."""
    rows = []
    with torch.inference_mode():
        for part in crops.batches(batch):
            pixels = torch.from_numpy(source.preprocessing.normalise(part.pixels))
            rows.append(source.student(pixels, torch.from_numpy(part.codes)).numpy())
    return np.concatenate(rows)


def sentence_embeddings(source: Source, samples: Sequence[Sample], *, batch: int = 64) -> NDArray[np.float32]:
    """float32 [n, k] coordinates of sentences, not normalised.

    Raises:
        ValueError: the source has no text student.
    """
    if source.text is None or source.reader is None:
        raise ValueError("this student has no text student")
    rows = [np.empty((0, source.text.config.dim), dtype=np.float32)]
    with torch.inference_mode():
        for start in range(0, len(samples), batch):
            part = samples[start : start + batch]
            tokens = source.reader.pad([source.reader.tokens(sample) for sample in part])
            rows.append(source.text(**tokens).numpy())
    return np.concatenate(rows)
