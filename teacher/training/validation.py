"""Retrieval by people who are neither trained nor tested on: what a checkpoint is chosen by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from reid.dataset import Dataset
from reid.evaluation import evaluate
from reid.modality import Modality
from reid.protocol import Protocol, on_validation
from reid.sample import Sample, Split
from reid.table import SampleTable
from reid.trials import applies
from teacher.embedder import Embedder


class Validation:
    """The validation samples of a data set, of these modalities, and the protocols that they are scored by.

    Every protocol of the data set whose gallery is RGB (any gallery, if there is none) is turned to the validation
    people; the score is the mean of their mAP, so that no modality is forgotten.

    Attributes:
        samples: of split val. protocols: turned to them; empty if there is nobody to validate on.
    """

    def __init__(self, dataset: Dataset, modalities: Sequence[Modality] = tuple(Modality)) -> None:
        self.samples: Sequence[Sample] = dataset.select(Split.VAL, modalities=modalities)
        self.table = SampleTable.of(self.samples)
        turned = [on_validation(p) for p in dataset.protocols if p.query_groups is None and p.galleries is None]
        usable = [p for p in turned if applies(p, self.table)] if self.samples else []
        rgb = [p for p in usable if p.gallery.modalities == (Modality.RGB,)]
        self.protocols: list[Protocol] = rgb or usable

    def score(self, embeddings: NDArray[np.float32]) -> dict[str, float]:
        """{"mAP": mean, "<protocol>": its mAP, ...} in per cent, of embeddings [n, D] of the samples."""
        found = {p.name: 100 * evaluate(p, self.table, embeddings).mean_ap for p in self.protocols}
        return {"mAP": float(np.mean(list(found.values()))), **found}

    def run(self, embedder: Embedder, process: int = 0, processes: int = 1) -> dict[str, float]:
        """Embed the samples, a share on each process, and score them on all."""
        mine = list(range(process, len(self.samples), processes))
        embeddings = torch.zeros(len(self.samples), embedder.encoder.backbone.width)
        embeddings[mine] = torch.from_numpy(embedder.embed([self.samples[row] for row in mine]))
        if processes > 1:
            # Rows of the others are zero here, so the sum is everybody's.
            everybody = embeddings.to(embedder.encoder.device)
            dist.all_reduce(everybody)
            embeddings = everybody.cpu()
        return self.score(embeddings.numpy())
