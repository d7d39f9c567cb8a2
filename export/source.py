"""The student that is exported, with everything that belongs to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_runtime.preprocess import Preprocessing
from reid.artifact import Manifest, expect_kind
from reid.errors import UserError
from reid.modality import Modality
from reid.subspace import FILE as SUBSPACE_FILE
from reid.subspace import Subspace
from student.checkpoint import KIND, load_reader, load_student, load_text_student
from student.model import StudentModel
from student.sentences import SentenceReader
from student.text import TextStudent


@dataclass(frozen=True)
class Source:
    """A student artifact.

    Attributes:
        folder: where it lies. manifest: its manifest.
        student: for images, with eager attention, which exports to the fewest nodes.
        text, reader: for sentences, if a text student was distilled.
        subspace: of its coordinates.
    """

    folder: Path
    manifest: Manifest
    student: StudentModel
    text: TextStudent | None
    reader: SentenceReader | None
    subspace: Subspace

    @property
    def name(self) -> str:
        """In the zoo."""
        return self.student.config.student

    @property
    def preprocessing(self) -> Preprocessing:
        """From an image to the student's input."""
        return self.student.preprocessing

    @property
    def by_modality(self) -> bool:
        """Whether the student has a stem for each modality, and so must be told an image's."""
        return self.student.config.stems == "modality"

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What it answers."""
        return tuple(m for m in Modality if m.is_image or self.text is not None)


def open_source(folder: Path) -> Source:
    """The student artifact at `folder`, on the CPU, in float32, in evaluation mode.

    Raises:
        UserError: not a student (what it is instead is said), cut short, or its subspace is of another rank.
    """
    manifest = expect_kind(folder, KIND)
    student, text = load_student(folder, attention="eager"), load_text_student(folder, attention="eager")
    subspace = Subspace.load(folder / SUBSPACE_FILE)
    if subspace.rank != student.config.dim:
        raise UserError(
            f"{folder}: its student has {student.config.dim} outputs and its subspace {subspace.rank} coordinates; "
            "copy the student again"
        )
    reader = None if text is None else load_reader(folder, text)
    return Source(folder, manifest, student, text, reader, subspace)
