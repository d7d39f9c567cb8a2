"""Retrieval by the student on people who are neither trained nor tested on: what a checkpoint is chosen by."""

from __future__ import annotations

import numpy as np
import torch
import torch.distributed as dist

from distill.embedder import StudentEmbedder
from reid.dataset import Dataset
from reid.embeddings import EmbeddingStore
from reid.modality import Modality
from reid.subspace import Subspace
from teacher.training.validation import Validation


class StudentValidation(Validation):
    """Images embedded by the student; sentences by the text student, or as the teacher's coordinates of them.

    Args:
        dataset: whose validation people are scored.
        store: of the teacher. subspace: of the student's coordinates.
    """

    def __init__(self, dataset: Dataset, store: EmbeddingStore, subspace: Subspace) -> None:
        super().__init__(dataset)
        self.rank = subspace.rank
        self.told = [row for row, sample in enumerate(self.samples) if sample.modality is Modality.TEXT]
        self.sentences = np.empty((0, subspace.rank), dtype=np.float32)
        if self.told:
            rows = store.rows_of([self.samples[row].sample_id for row in self.told])
            self.sentences = subspace.project(store.embeddings(rows), [Modality.TEXT] * len(rows))

    def score_student(self, embedder: StudentEmbedder, process: int = 0, processes: int = 1) -> dict[str, float]:
        """`score` of what the student makes of the samples, a share of them on each process."""
        coordinates = torch.zeros(len(self.samples), self.rank)
        known = range(len(self.samples)) if embedder.text is not None else self._shown()
        mine = list(known)[process::processes]
        coordinates[mine] = torch.from_numpy(embedder.embed([self.samples[row] for row in mine]))
        if processes > 1:
            # Rows of the others are zero here, so the sum is everybody's.
            everybody = coordinates.to(embedder.device)
            dist.all_reduce(everybody)
            coordinates = everybody.cpu()
        found = coordinates.numpy()
        if embedder.text is None:
            found[self.told] = self.sentences
        return self.score(found)

    def _shown(self) -> list[int]:
        return [row for row, sample in enumerate(self.samples) if sample.modality is not Modality.TEXT]
