"""A student artifact, its teacher's store and the data, for whoever scores it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from distill.evaluation.coordinates import Coordinates, coordinates_of
from distill.source import open_source
from distill.training.run import Source
from reid.artifact import Manifest, expect_kind, read_manifest
from reid.dataset import Dataset
from reid.embeddings import KIND as STORE
from reid.embeddings import EmbeddingStore, differing
from reid.errors import UserError
from reid.subspace import Subspace
from student.checkpoint import KIND, SUBSPACE, load_reader, load_student, load_text_student
from student.model import StudentModel
from student.sentences import SentenceReader
from student.text import TextStudent
from teacher.checkpoint import KIND as TEACHER
from teacher.cli.options import choose_device

Say = Callable[[str], None]


@dataclass(frozen=True)
class Distilled:
    """A student with what it was made from.

    Attributes:
        folder: the artifact. manifest: its manifest.
        student: for images. text, reader: for sentences, if a text student was distilled.
        subspace: of its coordinates. source: the teacher's store and the data to score.
    """

    folder: Path
    manifest: Manifest
    student: StudentModel
    text: TextStudent | None
    reader: SentenceReader | None
    subspace: Subspace
    source: Source

    def coordinates(self, *, val: bool = False, batch: int = 64) -> Coordinates:
        """Of the test people, or of the validation people; raises as `coordinates_of`."""
        return coordinates_of(
            self.student, self.text, self.reader, self.subspace, self.source.store, self.source.dataset, val=val,
            batch=batch,
        )  # fmt: skip


def open_distilled(
    folder: Path,
    store: Path | None = None,
    dataset: Dataset | None = None,
    spec: str = "",
    *,
    device: str = "auto",
    say: Say = print,
) -> Distilled:
    """A student artifact and what it was made from, or other data of the same teacher's.

    Args:
        folder: the artifact.
        store: of the same teacher, if it has moved or is of other data; None: where the student's manifest leads.
        dataset, spec: the data and what the user calls it; None: what the store was made from.
        device: "auto", "cpu" or "cuda": where the student computes.
        say: prints a line.

    Raises:
        UserError: not a student, the store is not found, or it is not of this student's teacher.
    """
    place = store or find_store(folder, expect_kind(folder, KIND))
    return load_distilled(folder, open_source(place, dataset, spec, device=device, say=say), device=device)


def load_distilled(folder: Path, source: Source, *, device: str = "auto") -> Distilled:
    """The same where the store and the data are open already."""
    manifest = expect_kind(folder, KIND)
    expect_same_teacher(folder, manifest, source.store)
    where = choose_device(device)
    student, text = load_student(folder), load_text_student(folder)
    for model in (student, text):
        if model is not None:
            nn.Module.to(model, where)
    reader = None if text is None else load_reader(folder, text)
    return Distilled(folder, manifest, student, text, reader, Subspace.load(folder / SUBSPACE), source)


def find_store(folder: Path, manifest: Manifest) -> Path:
    """The store that a student was made from, where its manifest says.

    Raises:
        UserError: it does not lie there any more, or another one does.
    """
    place = _original(folder, manifest)
    if place is None:
        told = [parent.path for parent in manifest.parents if parent.kind == STORE]
        raise UserError(
            f"{folder}: the teacher's store that it was made from ({', '.join(told) or 'not named'}) is not there any "
            "more, or has changed; say with --store where it is"
        )
    return place


def expect_same_teacher(folder: Path, manifest: Manifest, store: EmbeddingStore) -> None:
    """Make sure that a store holds embeddings of the teacher that a student was distilled from.

    It is the store that the student was made from, or differs from it in the data alone, or both come from one
    checkpoint.

    Raises:
        UserError: it is another teacher's; what differs is named, if it can be known.
    """
    ours = {parent.manifest_sha256 for parent in manifest.parents if parent.kind == STORE}
    if store.manifest.sha256 in ours:
        return
    original = _original(folder, manifest)
    if original is not None:
        before, now = (_without_data(s.fingerprint) for s in (EmbeddingStore.open(original), store))
        if differs := differing(before, now):
            raise UserError(
                f"{store.path}: is of another teacher than {folder} was distilled from (another "
                f"{', '.join(differs)}); give a store of the same teacher"
            )
        return
    teachers = [{p.manifest_sha256 for p in m.parents if p.kind == TEACHER} for m in (manifest, store.manifest)]
    if not teachers[0] & teachers[1]:
        raise UserError(
            f"{store.path}: is not the store that {folder} was distilled from, and nothing tells that it is of the "
            "same teacher; give the store itself, or one made with the same checkpoint"
        )


def _original(folder: Path, manifest: Manifest) -> Path | None:
    """Where the store lies that the student was made from, if it is still there and the same."""
    named = manifest.details.get("store")
    for parent in manifest.parents:
        if parent.kind != STORE:
            continue
        for place in ((folder / parent.path).resolve(), *([Path(str(named))] if named else [])):
            try:
                if read_manifest(place).sha256 == parent.manifest_sha256:
                    return place
            except UserError:
                continue
    return None


def _without_data(fingerprint: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in fingerprint.items() if name != "data"}
