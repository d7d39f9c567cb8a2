"""What a gallery holds and gives back: rows, conditions on rows, hits, changes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reid.errors import UserError
from reid.modality import Modality

Floats = NDArray[np.float32]

UNKNOWN = "unknown"
"""What screens call a person without an id; no person may have this id."""
LONGEST_DEVIATION = 1e-3
"""How far the length of a stored embedding may be from 1: half precision rounds to within it."""


@dataclass(frozen=True)
class Row:
    """One observation of one person.

    Attributes:
        embedding: [k] float32 of length 1.
        person_id: who it is; None is unknown.
        camera_id: which camera saw them; None where nobody knows.
        modality: how they were seen.
        time: when, in seconds since the epoch (UTC). It is data: nothing depends on its order.
        crop: the picture as a JPEG, if it is to be kept.
        metadata: whatever else; JSON values.
        row_id: its number in the gallery; None before it is there.
    """

    embedding: Floats
    person_id: str | None = None
    camera_id: str | None = None
    modality: Modality = Modality.RGB
    time: float = 0.0
    crop: bytes | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    row_id: int | None = None


@dataclass(frozen=True)
class Filter:
    """Conditions on rows, all of which must hold; None is no condition, an empty tuple is met by no row.

    Attributes:
        cameras: seen by one of these.
        not_cameras: seen by none of these; a row without a camera passes.
        since, until: since <= time < until, seconds since the epoch.
        modalities: seen in one of these.
        persons: one of these people.
        known: True for rows with a person id, False for those without.
    """

    cameras: tuple[str, ...] | None = None
    not_cameras: tuple[str, ...] | None = None
    since: float | None = None
    until: float | None = None
    modalities: tuple[Modality, ...] | None = None
    persons: tuple[str, ...] | None = None
    known: bool | None = None

    def __post_init__(self) -> None:
        for name in ("cameras", "not_cameras", "persons"):
            if isinstance(getattr(self, name), str):
                raise TypeError(f"Filter.{name} is a string; expected a tuple of strings")
        for name in ("since", "until"):
            value = getattr(self, name)
            if value is not None and math.isnan(value):
                raise UserError(f"filter: {name} is NaN; expected seconds since the epoch")

    @property
    def is_empty(self) -> bool:
        """Whether every row meets it."""
        return self == Filter()


@dataclass(frozen=True)
class Hit:
    """A row that a search found.

    Attributes:
        row_id: the row's number.
        score: cosine similarity to the query.
        person_id, camera_id, modality, time: of the row, as they were when it was scored.
    """

    row_id: int
    score: float
    person_id: str | None
    camera_id: str | None
    modality: Modality
    time: float


@dataclass(frozen=True)
class Person:
    """Someone in the gallery, or all the unknown rows together (`person_id` is None)."""

    person_id: str | None
    rows: int
    first: float
    last: float


@dataclass(frozen=True)
class Change:
    """What became of a row, at its newest.

    Attributes:
        seq: when, in the order of all changes; no two are equal, and later ones are greater.
        row_id: of which row.
        kind: "insert" if the reader cannot have seen the row before, "update", or "delete".
        row: the row as it is now; None if it was deleted.
    """

    seq: int
    row_id: int
    kind: str
    row: Row | None


def check_embeddings(rows: list[Row], dim: int) -> Floats:
    """[n, dim] float32 embeddings of the rows.

    Raises:
        UserError: one has another width, is NaN, infinite or not of length 1; it is named by its place.
    """
    for place, row in enumerate(rows):
        if np.shape(row.embedding) != (dim,):
            raise UserError(f"row {place}: embedding has shape {np.shape(row.embedding)}; the gallery's is ({dim},)")
    found = np.array([row.embedding for row in rows], dtype="<f4").reshape(len(rows), dim)
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.sqrt(np.einsum("ij,ij->i", found, found, dtype=np.float64))
        bad = np.flatnonzero(~(np.abs(lengths - 1) <= LONGEST_DEVIATION))
    if bad.size:
        length = lengths[bad[0]]
        raise UserError(
            f"row {bad[0]}: embedding has length {length:.6g}; expected 1 (L2-normalised, no NaN); "
            f"{bad.size} of {len(rows)} rows are like that"
        )
    return found


def check_row(place: int, row: Row) -> tuple[str | None, str | None, str, float, str, bytes | None]:
    """A row's person, camera, modality, time, metadata as JSON and crop, as they are stored.

    Raises:
        UserError: one of them cannot be stored; the row is named by its place.
    """
    where = f"row {place}"
    person = None if row.person_id is None else check_name(row.person_id, f"{where}: person id")
    camera = None if row.camera_id is None else check_name(row.camera_id, f"{where}: camera id", reserved=False)
    modality = row.modality if isinstance(row.modality, Modality) else Modality.parse(row.modality, where)
    if not math.isfinite(row.time):
        raise UserError(f"{where}: time is {row.time}; expected seconds since the epoch")
    if row.crop is not None and not bytes(row.crop[:2]) == b"\xff\xd8":
        raise UserError(f"{where}: the crop is not a JPEG; encode it as one or leave it out")
    try:
        metadata = json.dumps(dict(row.metadata), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{where}: metadata is not JSON ({error})") from error
    return person, camera, modality.value, float(row.time), metadata, None if row.crop is None else bytes(row.crop)


def check_name(name: str, where: str, *, reserved: bool = True) -> str:
    """The name of a person or a camera.

    Raises:
        UserError: it is empty, is no text that can be stored, or means that there is no person.
    """
    if not isinstance(name, str) or not name:
        raise UserError(f"{where} is {name!r}; expected a string that is not empty")
    if reserved and name == UNKNOWN:
        raise UserError(
            f"{where} is '{UNKNOWN}', which stands for no person; leave the person out or choose another id"
        )
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UserError(f"{where} is {name!r}; expected text without lone surrogates") from None
    if "\0" in name:
        raise UserError(f"{where} is {name!r}; expected text without NUL")
    return name
