"""The samples that are scored as the device, the cloud and the whole teacher know them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distill.embedder import StudentEmbedder
from reid.dataset import Dataset
from reid.embeddings import EmbeddingStore
from reid.errors import UserError
from reid.matrix import TESTED, Pairs, main_gallery, score_pairs
from reid.modality import Modality
from reid.sample import Split
from reid.subspace import Subspace
from reid.table import SampleTable
from student.model import StudentModel
from student.sentences import SentenceReader
from student.text import TextStudent

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Coordinates:
    """n samples in one space of k coordinates, known in two ways, and the teacher's embeddings of them.

    Attributes:
        table: the samples' columns. Each sample without a source is its own source, as `pairs` expect it.
        pairs: (query modality, gallery modality) -> the rule that the pair is scored by.
        edge: float32 [n, k], what the device makes of them; NaN where it cannot read them.
        cloud: float32 [n, k], the teacher's embeddings projected to the student's coordinates.
        teacher: float32 [n, D], the teacher's embeddings as stored.
        answered: bool [n], whether the device can read the sample; False for sentences without a text student.
    """

    table: SampleTable
    pairs: Pairs
    edge: Floats
    cloud: Floats
    teacher: Floats
    answered: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.table)

    @property
    def rank(self) -> int:
        """Number k of coordinates."""
        return int(self.cloud.shape[1])

    @property
    def gallery(self) -> Modality:
        """The modality that people are searched in: RGB, if the samples allow."""
        return main_gallery(self.pairs)

    def rows(self, modality: Modality) -> NDArray[np.int64]:
        """Row numbers of the samples of a modality, ascending."""
        return np.flatnonzero([which is modality for which in self.table.modality])

    def reads(self, modality: Modality) -> bool:
        """Whether the device can read samples of this modality."""
        return bool(self.answered[self.rows(modality)].all())


def coordinates_of(
    student: StudentModel,
    text: TextStudent | None,
    reader: SentenceReader | None,
    subspace: Subspace,
    store: EmbeddingStore,
    dataset: Dataset,
    *,
    val: bool = False,
    batch: int = 64,
) -> Coordinates:
    """Embed the test people with a student and find what its teacher's store has of them.

    Args:
        student: for images. text, reader: for sentences, if there is a text student.
        subspace: of the student's coordinates. store: of the teacher that it was made from.
        dataset: whose samples they are; those that the store does not hold must have been left out.
        val: the validation people instead of the test people. batch: samples per pass of the student.

    Raises:
        UserError: there is nobody to ask for or to find, a sample is not in the store, or an image does not decode.
    """
    splits = (Split.VAL,) if val else TESTED
    samples = dataset.select(*splits)
    table, pairs = score_pairs(dataset, samples, val=val)
    if not pairs:
        who = "validation" if val else "test"
        raise UserError(
            f"{dataset.root}: nobody to ask for or nobody to find among its {who} people ({table.describe()})"
        )
    rows = store.rows_of([sample.sample_id for sample in samples])
    teacher = store.embeddings(rows)
    cloud = subspace.project(teacher, table.modality)
    answered = np.array([text is not None or sample.modality.is_image for sample in samples], dtype=np.bool_)
    edge = np.full(cloud.shape, np.nan, dtype=np.float32)
    embedder = StudentEmbedder(student, text, reader, batch=batch)
    edge[answered] = embedder.embed([sample for sample, known in zip(samples, answered, strict=True) if known])
    return Coordinates(table, pairs, edge, cloud, teacher, answered)
