"""What the teacher knows of the samples that a student is trained on, gathered from its stores batch by batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from distill.data.views import view_id
from reid.embeddings import EmbeddingStore
from reid.sample import Sample


class Targets:
    """The teacher's embeddings of given samples. They stay in the memory-mapped stores until a batch asks for them.

    Args:
        store: of the samples as they are.
        samples: in the order that `rows` of `embeddings` refer to.
        views: a store for each augmented view of the images, see `distill.data.views`; sentences have none.

    Raises:
        UserError: a store lacks a sample.
    """

    def __init__(self, store: EmbeddingStore, samples: Sequence[Sample], views: Sequence[EmbeddingStore] = ()) -> None:
        self.views = len(views)
        images = [row for row, sample in enumerate(samples) if sample.modality.is_image]
        self._stores = [store, *views]
        clean = store.rows_of([sample.sample_id for sample in samples])
        self._rows = [clean]
        for number, seen in enumerate(views):
            rows = np.full(len(samples), -1, dtype=np.int64)
            rows[images] = seen.rows_of([view_id(samples[row], number) for row in images])
            self._rows.append(rows)

    def embeddings(self, rows: Sequence[int], views: Sequence[int | None] | None = None) -> NDArray[np.float32]:
        """float32 [n, D] of the samples at `rows`, divided by their length.

        Args:
            rows: [n]. views: [n] number of the view that the teacher saw, None for the sample as it is.
        """
        wanted = np.asarray(rows, dtype=np.int64)
        which = np.array([0 if view is None else 1 + view for view in views or [None] * len(rows)])
        out = np.empty((len(wanted), self._stores[0].dim), dtype=np.float32)
        for number in np.unique(which):
            here = np.flatnonzero(which == number)
            out[here] = self._stores[number].embeddings(self._rows[number][wanted[here]])
        out /= np.linalg.norm(out, axis=1, keepdims=True)
        return out
