"""Moments of an embedding store, of each modality and of its people, in one pass over its shards."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from distill.spectrum.moments import Moments
from distill.spectrum.reading import PIECE_ROWS, pieces
from reid.embeddings import EmbeddingStore
from reid.errors import UserError
from reid.modality import Modality
from reid.progress import progress_bar
from reid.sample import Split
from reid.subspace import MODALITIES, Floats, Normalise, normalised

Doubles = NDArray[np.float64]
People = dict[str, tuple[int, Doubles]]
"""person_id -> how many embeddings, and their sum [D]."""


@dataclass(frozen=True)
class Spectra:
    """Moments of normalised embeddings: what one process has measured, or several.

    Attributes:
        moments: of each modality that occurs.
        people: of each person, if they were asked for; the only part that grows with the data.
    """

    moments: dict[Modality, Moments]
    people: People | None = None

    @cached_property
    def total(self) -> Moments:
        """Of all modalities together."""
        whole = Moments.empty(self.dim)
        for part in self.moments.values():
            whole.merge(part)
        return whole

    @property
    def dim(self) -> int:
        """Width D of an embedding."""
        return next(iter(self.moments.values())).dim

    def merge(self, other: Spectra) -> Spectra:
        """What both have seen. People are kept if both have them."""
        moments = {m: Moments.empty(self.dim) for m in Modality if m in self.moments or m in other.moments}
        for part in (self, other):
            for modality, seen in part.moments.items():
                moments[modality].merge(seen)
        if self.people is None or other.people is None:
            return Spectra(moments)
        people = dict(self.people)
        for person, (count, total) in other.people.items():
            _add(people, person, count, total)
        return Spectra(moments, people)

    def within_modalities(self) -> Doubles:
        """[D, D] covariance about each modality's own mean."""
        return np.asarray(sum(part.scatter for part in self.moments.values()) / self.total.count)

    def between_people(self) -> Doubles:
        """[D, D] covariance of the people's means, each person weighted by its share of the samples.

        So weighted, it and the covariance within people add up to the whole: the between-class scatter of linear
        discriminant analysis (Fisher, 1936) over n.

        Raises:
            ValueError: people were not measured.
        """
        if self.people is None:
            raise ValueError("the people were not measured")
        counts = np.array([count for count, _ in self.people.values()], dtype=np.float64)
        means = np.stack([total / count for count, total in self.people.values()]) - self.total.mean
        means *= np.sqrt(counts / counts.sum())[:, None]
        return np.asarray(means.T @ means)


def training_rows(store: EmbeddingStore) -> NDArray[np.int64]:
    """The rows of split train; all rows, if there are none."""
    rows = np.flatnonzero([split is Split.TRAIN for split in store.table.split])
    return rows if rows.size else np.arange(len(store))


def measure(
    store: EmbeddingStore,
    rows: NDArray[np.int64] | None = None,
    *,
    normalise: Normalise = "unit",
    people: bool = False,
    processes: int = 1,
) -> Spectra:
    """Measure a store in one pass.

    Args:
        store: what is measured; it is read a shard at a time.
        rows: which of its rows; those of split train (all, if there are none) by default.
        normalise: what is done to each embedding first.
        people: also sum up each person's embeddings, in O(people x D) of memory.
        processes: how many share the work; each opens the store for itself.

    Raises:
        UserError: an embedding is not usable (samples are named), or there are no rows.
    """
    wanted = training_rows(store) if rows is None else np.asarray(rows, dtype=np.int64)
    if not wanted.size:
        raise UserError(f"{store.path}: no samples to measure among its {store.table.describe()}")
    shares = [share for share in np.array_split(np.sort(wanted), max(1, processes)) if share.size]
    if len(shares) == 1:
        return measure_share(store, wanted, normalise=normalise, people=people)
    # Started afresh: the fork of a process whose matrix library has threads may hang.
    with ProcessPoolExecutor(len(shares), get_context("spawn")) as pool:
        futures = [pool.submit(_measure_path, store.path, share, normalise, people) for share in shares]
        whole, *others = [future.result() for future in futures]
    for part in others:
        whole = whole.merge(part)
    return whole


def measure_share(
    store: EmbeddingStore, rows: NDArray[np.int64], *, normalise: Normalise = "unit", people: bool = False
) -> Spectra:
    """Measure these rows in this process; `Spectra.merge` joins what several have measured."""
    table = store.table
    codes = np.array([MODALITIES[modality] for modality in table.modality], dtype=np.int8)[rows]
    waiting = {modality: _Waiting(store.dim) for modality in Modality if (codes == MODALITIES[modality]).any()}
    sums: People = {}
    with progress_bar(what="measure", unit="embeddings", total=len(rows)) as bar:
        for positions, embeddings in pieces(store, rows):
            for modality, line in waiting.items():
                chosen = np.flatnonzero(codes[positions] == MODALITIES[modality])
                if not chosen.size:
                    continue
                here = rows[positions[chosen]].tolist()
                room = line.room(len(chosen))
                # NumPy converts float16 one number at a time, torch eight: a tenth of the whole measurement.
                torch.from_numpy(room).copy_(torch.from_numpy(embeddings[chosen]))
                normalised(room, normalise, [table.sample_id[row] for row in here], copy=False)
                if people:
                    _add_people(sums, room, [table.person_id[row] for row in here])
            bar.update(len(positions))
    return Spectra({modality: line.finish() for modality, line in waiting.items()}, sums if people else None)


class _Waiting:
    """Embeddings of one modality that wait until there are enough of them for a fast matrix product.

    A product of 1,000 rows takes a tenth longer per row than one of 4,000, and every product is added to D x D sums.
    """

    def __init__(self, dim: int) -> None:
        self._moments = Moments.empty(dim)
        self._rows = np.empty((2 * PIECE_ROWS, dim), dtype=np.float32)
        self._filled = 0

    def room(self, n: int) -> Floats:
        """Where to write the next n <= PIECE_ROWS embeddings; those before them are done by now."""
        if self._filled + n > len(self._rows):
            self._flush()
        self._filled += n
        return self._rows[self._filled - n : self._filled]

    def finish(self) -> Moments:
        """The moments of all."""
        self._flush()
        return self._moments

    def _flush(self) -> None:
        self._moments.update(self._rows[: self._filled], overwrite=True)
        self._filled = 0


def _measure_path(path: Path, rows: NDArray[np.int64], normalise: Normalise, people: bool) -> Spectra:
    return measure_share(EmbeddingStore.open(path), rows, normalise=normalise, people=people)


def _add_people(sums: People, unit: Floats, people: Sequence[str]) -> None:
    names, codes = np.unique(np.array(people), return_inverse=True)
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes)
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    totals = np.add.reduceat(unit[order], starts, axis=0, dtype=np.float64)
    for name, count, total in zip(names.tolist(), counts.tolist(), totals, strict=True):
        _add(sums, name, count, total.copy())


def _add(sums: People, person: str, count: int, total: Doubles) -> None:
    before = sums.get(person)
    sums[person] = (count, total) if before is None else (before[0] + count, before[1] + total)
