"""A data set: its samples, how it is scored, and how its size compares with the published one."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from reid.errors import UserError
from reid.modality import Modality
from reid.protocol import Protocol
from reid.sample import Sample, Split

_EDGE = 4096
"""Bytes at either end of an image file that go into a fingerprint."""


@dataclass(frozen=True)
class Count:
    """One published figure of a data set beside what was found in this copy. `published` None: nothing to compare."""

    what: str
    found: int
    published: int | None = None

    @property
    def differs(self) -> bool:
        """Whether this copy is not the published one."""
        return self.published is not None and self.found != self.published


@dataclass(frozen=True)
class Dataset:
    """People observed, and the rules by which recognising them is scored.

    Attributes:
        kind: the loader's name, e.g. "market1501".
        root: the folder that every sample_id is relative to.
        samples: all observations, in a stable order that does not depend on the file system.
        protocols: how the data set is scored; the first is the default.
        counts: published figures beside the ones found.
        options: the loader's options that gave this view, e.g. {"trial": "3"}.
        warnings: what a user must know before using it (withdrawn, another version's split, ...).

    Raises:
        UserError: no samples, or two with the same sample_id.
    """

    kind: str
    root: Path
    samples: tuple[Sample, ...]
    protocols: tuple[Protocol, ...]
    counts: tuple[Count, ...] = ()
    options: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.samples:
            raise UserError(f"{self.root}: no samples of a '{self.kind}' data set found")
        repeated = [sample_id for sample_id, n in Counter(s.sample_id for s in self.samples).items() if n > 1]
        if repeated:
            raise UserError(f"{self.root}: sample id '{repeated[0]}' occurs more than once ({len(repeated)} such ids)")

    def select(self, *splits: Split, modalities: Iterable[Modality] = tuple(Modality)) -> tuple[Sample, ...]:
        """The samples of these splits (all, if none is named) and modalities, in order."""
        wanted_splits, wanted_modalities = set(splits or Split), set(modalities)
        return tuple(s for s in self.samples if s.split in wanted_splits and s.modality in wanted_modalities)

    def protocol(self, name: str | None = None) -> Protocol:
        """The protocol called `name`, or the default one.

        Raises:
            UserError: the data set has no protocol of this name.
        """
        return find_protocol(self.protocols, name, f"data set '{self.kind}'")

    def fingerprint(self) -> str:
        """sha256 over every sample's fields and a look at its image; equal for copies on two machines.

        The look is the size and the first and last 4 KiB: that tells replaced and re-encoded images, also of formats
        whose files are all of one size, and costs a fraction of reading hundreds of thousands of images whole.
        """
        digest = hashlib.sha256()
        for s in self.samples:
            look = _look(s.image) if s.image is not None else ""
            row = [s.sample_id, s.person_id, s.camera_id, s.modality.value, s.split.value, s.text, s.source_id, look]
            digest.update(json.dumps(row).encode() + b"\n")
        return digest.hexdigest()


def _look(image: Path) -> str:
    try:
        with image.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _EDGE))
            end = file.read(_EDGE)
            file.seek(0)
            return f"{size} {hashlib.sha256(file.read(_EDGE) + end).hexdigest()}"
    except OSError:
        return "missing"


def find_protocol(protocols: Iterable[Protocol], name: str | None, where: str) -> Protocol:
    """The protocol called `name` (the first, if None) among `protocols`; `where` names their owner in the error.

    Raises:
        UserError: there is none of this name.
    """
    by_name = {p.name: p for p in protocols}
    if not by_name:
        raise UserError(f"{where} has no protocol: its data set has no samples to ask for or none to find")
    if name is None:
        return next(iter(by_name.values()))
    if name not in by_name:
        raise UserError(f"{where} has no protocol '{name}'; it has {', '.join(by_name)}")
    return by_name[name]


def count_samples(
    samples: Iterable[Sample], what: str, published: int | None, *splits: Split, modality: Modality | None = None
) -> Count:
    """How many of `samples` belong to `splits` (any, if none is named) and `modality` (any image, if None)."""
    wanted = set(splits or Split)
    found = sum(
        1
        for s in samples
        if s.split in wanted and (s.modality is modality if modality is not None else s.modality.is_image)
    )
    return Count(what, found, published)


def count_people(samples: Iterable[Sample], what: str, published: int | None, *splits: Split) -> Count:
    """How many different people `samples` of `splits` (any, if none is named) show."""
    wanted = set(splits or Split)
    return Count(what, len({s.person_id for s in samples if s.split in wanted}), published)
