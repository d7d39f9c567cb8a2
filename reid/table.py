"""The columns of many samples, without their images: what a protocol is resolved against."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reid.modality import Modality
from reid.protocol import Select
from reid.sample import Sample, Split


@dataclass(frozen=True)
class SampleTable:
    """n samples as columns of equal length, in the order of their embeddings. Fields as in `Sample`."""

    sample_id: Sequence[str]
    person_id: Sequence[str]
    modality: Sequence[Modality]
    split: Sequence[Split]
    camera_id: Sequence[str | None]
    source_id: Sequence[str | None]

    def __len__(self) -> int:
        return len(self.sample_id)

    @classmethod
    def of(cls, samples: Iterable[Sample]) -> SampleTable:
        """The columns of `samples`."""
        rows = tuple(samples)
        return cls(
            [s.sample_id for s in rows],
            [s.person_id for s in rows],
            [s.modality for s in rows],
            [s.split for s in rows],
            [s.camera_id for s in rows],
            [s.source_id for s in rows],
        )

    def rows(self, select: Select) -> NDArray[np.int64]:
        """Row numbers of the samples that `select` names, ascending."""
        modalities, splits = set(select.modalities), set(select.splits)
        cameras = None if select.cameras is None else set(select.cameras)
        chosen = [
            row
            for row, (modality, split, camera) in enumerate(zip(self.modality, self.split, self.camera_id, strict=True))
            if modality in modalities and split in splits and (cameras is None or camera in cameras)
        ]
        return np.array(chosen, dtype=np.int64)

    def describe(self) -> str:
        """How many samples of each modality and split there are, in one line, for error messages."""
        counts: dict[str, int] = {}
        for modality, split in zip(self.modality, self.split, strict=True):
            counts[f"{modality}/{split}"] = counts.get(f"{modality}/{split}", 0) + 1
        return ", ".join(f"{n} {name}" for name, n in sorted(counts.items())) or "nothing"


def encode(keys: Iterable[Hashable | None]) -> NDArray[np.int64]:
    """Integer codes [n] of hashable keys: equal keys get equal codes >= 0, None gets -1."""
    seen: dict[Hashable, int] = {}
    return np.array([-1 if key is None else seen.setdefault(key, len(seen)) for key in keys], dtype=np.int64)
