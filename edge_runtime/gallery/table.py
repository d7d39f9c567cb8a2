"""The rows in memory as arrays: what is scanned, and what conditions are tested on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.gallery.row import Filter, Floats, Hit
from reid.modality import Modality

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

MODALITIES = tuple(Modality)
_GROWTH = 16
"""A table that is full grows by 1/16. The memory is moved by the kernel, not copied."""


class Names:
    """Codes for strings; None is -1."""

    def __init__(self) -> None:
        self._codes: dict[str | None, int] = {None: -1}
        self._names: list[str] = []

    def codes(self, names: Iterable[str | None]) -> list[int]:
        """Their codes; new names get new ones."""
        return [self._codes[name] if name in self._codes else self._new(name) for name in names]

    def known(self, names: Iterable[str]) -> list[int]:
        """The codes of those names that have one."""
        return [self._codes[name] for name in names if name in self._codes]

    def name(self, code: int) -> str | None:
        """What a code stands for."""
        return None if code < 0 else self._names[code]

    def _new(self, name: str | None) -> int:
        assert name is not None
        self._codes[name] = len(self._names)
        self._names.append(name)
        return self._codes[name]


@dataclass(frozen=True)
class Moves:
    """Rows that took the places of deleted ones: from where, to where, and how many rows there are now."""

    source: Ints
    target: Ints
    rows: int


class Table:
    """Rows as columns, in no particular order.

    Attributes:
        rows: n.
        dim: k.
        highest: the highest id that was ever added.
    """

    def __init__(self, dim: int, room: int = 0) -> None:
        self.dim, self.rows, self.highest = dim, 0, 0
        self.persons, self.cameras = Names(), Names()
        self._vectors = np.empty((room, dim), np.float32)
        self._columns: dict[str, NDArray[Any]] = {
            "id": np.empty(room, np.int64),
            "person": np.empty(room, np.int32),
            "camera": np.empty(room, np.int32),
            "modality": np.empty(room, np.int8),
            "time": np.empty(room, np.float64),
        }
        self._order: tuple[Ints, Ints] | None = None

    @property
    def vectors(self) -> Floats:
        """[n, k] embeddings. A view: not to be kept when the lock is given back."""
        return self._vectors[: self.rows]

    def column(self, name: str) -> NDArray[Any]:
        """[n] id, person, camera (codes), modality (place in `MODALITIES`) or time. A view."""
        return self._columns[name][: self.rows]

    def sorted(self) -> tuple[Ints, Ints]:
        """[n] ids ascending, and where each lies."""
        if self._order is None:
            places = np.argsort(self.column("id"), kind="stable")
            self._order = self.column("id")[places], places
        return self._order

    def places(self, ids: Ints) -> Ints:
        """[m] where rows lie; -1 for those that are not there."""
        ascending, places = self.sorted()
        if not len(ascending):
            return np.full(len(ids), -1, np.int64)
        at = np.minimum(np.searchsorted(ascending, ids), len(ascending) - 1)
        return np.where(ascending[at] == ids, places[at], -1)

    def append(
        self,
        ids: Ints,
        persons: Iterable[str | None],
        cameras: Iterable[str | None],
        modalities: Iterable[str],
        time: Any,
    ) -> slice:
        """Add rows whose vectors are filled in by the caller; where they lie."""
        start, stop = self.rows, self.rows + len(ids)
        self._reserve(stop)
        where = slice(start, stop)
        self._columns["id"][where] = ids
        self._columns["time"][where] = time
        self.rows, self.highest = stop, max(self.highest, int(ids.max()))
        self.describe(np.arange(start, stop), persons, cameras, modalities)
        self._order = None
        return where

    def describe(
        self, places: Ints, persons: Iterable[str | None], cameras: Iterable[str | None], modalities: Iterable[str]
    ) -> None:
        """Set what is known of rows."""
        code = {modality.value: place for place, modality in enumerate(MODALITIES)}
        self._columns["person"][places] = self.persons.codes(persons)
        self._columns["camera"][places] = self.cameras.codes(cameras)
        self._columns["modality"][places] = [code[m] for m in modalities]

    def remove(self, places: Ints) -> Moves:
        """Take rows away; the last ones move into their places."""
        left = self.rows - len(places)
        dead = np.zeros(self.rows, np.bool_)
        dead[places] = True
        target = np.flatnonzero(dead[:left])
        source = left + np.flatnonzero(~dead[left:])
        for column in (self._vectors, *self._columns.values()):
            column[target] = column[source]
        self._vectors[left : self.rows] = 0  # A deleted face leaves the memory, too.
        self.rows, self._order = left, None
        return Moves(source, target, left)

    def mask(self, where: Filter) -> Bools | None:
        """[n] which rows meet the conditions; None if all do by there being none."""
        found: Bools | None = None
        person, camera, time = self.column("person"), self.column("camera"), self.column("time")
        if where.cameras is not None:
            found = _and(found, _among(camera, self.cameras.known(where.cameras)))
        if where.not_cameras:
            found = _and(found, ~_among(camera, self.cameras.known(where.not_cameras)))
        if where.persons is not None:
            found = _and(found, _among(person, self.persons.known(where.persons)))
        if where.modalities is not None:
            codes = [MODALITIES.index(Modality(m)) for m in where.modalities]
            found = _and(found, _among(self.column("modality"), codes))
        if where.since is not None:
            found = _and(found, time >= where.since)
        if where.until is not None:
            found = _and(found, time < where.until)
        if where.known is not None:
            found = _and(found, (person >= 0) == where.known)
        return found

    def ranked(self, places: Ints, scores: Floats) -> tuple[Ints, Floats]:
        """Places and scores [m] best first, of equal ones the lower id first; negative places are left out."""
        places, scores = places[places >= 0], scores[places >= 0]
        order = np.lexsort((self.column("id")[places], -scores))
        return places[order], scores[order]

    def hits(self, places: Ints, scores: Floats) -> list[Hit]:
        """What lies at these places."""
        columns = [self.column(name)[places].tolist() for name in ("id", "person", "camera", "modality", "time")]
        return [
            Hit(i, s, self.persons.name(p), self.cameras.name(c), MODALITIES[m], t)
            for s, i, p, c, m, t in zip(scores.tolist(), *columns, strict=True)
        ]

    def _reserve(self, rows: int) -> None:
        if rows > len(self._vectors):
            room = max(rows, len(self._vectors) + len(self._vectors) // _GROWTH + 1024)
            # Only views that end with the lock refer to the arrays, and who grows them has it alone.
            self._vectors.resize((room, self.dim), refcheck=False)
            for column in self._columns.values():
                column.resize(room, refcheck=False)


def _among(column: NDArray[Any], codes: list[int]) -> Bools:
    if len(codes) == 1:
        return np.asarray(column == codes[0])
    return np.isin(column, codes)


def _and(found: Bools | None, test: Bools) -> Bools:
    return test if found is None else np.logical_and(found, test, out=found)
