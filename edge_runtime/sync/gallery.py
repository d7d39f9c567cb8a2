"""The gallery interface over a Milvus collection: of one device, or of all that ship there."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from edge_runtime.gallery import Filter, Hit, Person, Row
from edge_runtime.gallery.row import Floats, check_embeddings, check_name
from edge_runtime.sync import record
from edge_runtime.sync.client import Address, Later
from edge_runtime.sync.collection import MOST_HITS, Collection
from reid.errors import UserError
from reid.modality import Modality
from reid.similarity import normalise

EVERYTHING = Filter()
WRITTEN = 500
"""Rows of one upsert."""
Centre = tuple[Modality, Mapping[Modality, Floats]]
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class RemoteHit(Hit):
    """A hit, and whose row it is: `row_id` as `MilvusGallery` numbers rows, `device_row` as the device does."""

    device: str = ""
    device_row: int = 0


class MilvusGallery:
    """Rows that devices have shipped, searched exactly; what `edge_runtime.search` needs of a gallery it has.

    Opened for one device it is that device's gallery, with its row numbers, and can be written: by whoever ships no
    gallery under this device id, such as a console that enrols people. Opened for all of them it is read only, and rows
    have numbers that are unique among all devices. Crops are not there. What was written before is seen (`fresh`), at
    the price of some 0.2 s a search; without it, what was written in the last second may not be.

    Unlike in a gallery on a device, a write of more than 500 rows that fails may have been done in part: do it again.

    Use `MilvusGallery.open`.
    """

    def __init__(self, collection: Collection, device: str | None, fresh: bool) -> None:
        self._collection, self.device, self._fresh = collection, device, fresh
        self.space_id, self.dim = collection.space_id, collection.dim
        self._number = "number" if device is None else "row_id"

    @classmethod
    def open(
        cls,
        address: Address,
        *,
        space_id: str | None = None,
        dim: int | None = None,
        device: str | None = None,
        create: bool = False,
        fresh: bool = True,
        seconds: float = 60.0,
    ) -> MilvusGallery:
        """Open a collection.

        Args:
            address: where it is; without a name of the collection it is that of `space_id`.
            space_id, dim: of the bundle whose embeddings are stored and searched; None takes the collection's.
            device: whose rows; None is everyone's, read only.
            create: make it if it is not there.
            fresh: see what was written before, by whomever.
            seconds: how long to wait for an answer; after a start of the server it may take a minute to load rows.

        Raises:
            UserError: it is not there, holds another bundle's embeddings, or the server does not answer.
        """
        if address.collection is None and space_id is None:
            raise UserError(f"{address}: say which collection, or which bundle's")
        if device is not None:
            record.check_device(device)
        try:
            collection = Collection(address.named(space_id or ""), seconds=seconds)
            collection.open(space_id, dim, create=create)
            collection.load()
        except Later as error:
            raise UserError(f"{error}; is the server running, is the network there?") from error
        return cls(collection, device, fresh)

    def __enter__(self) -> MilvusGallery:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._collection.close()

    # ------------------------------------------------------------------------------------------------------ reading

    @property
    def count(self) -> int:
        """How many rows there are."""
        return self._ask(lambda: self._collection.count(self._where(EVERYTHING) or "", fresh=self._fresh))

    def search(
        self, queries: Floats, k: int, where: Filter = EVERYTHING, *, centre: Centre | None = None
    ) -> list[list[Hit]]:
        """The k rows most similar to each query by cosine, exactly; as `Gallery.search`.

        More than 16,384 hits of one query, and centring, are beyond a Milvus server: every matching row is then read
        over the network and compared here.

        Raises:
            UserError: a query is NaN, infinite or zero (it is named), has another width, k is below 1, or the server
                does not answer.
        """
        return self._search(queries, k, where, centre, vectors=False)[0]

    def search_with_vectors(
        self, queries: Floats, k: int, where: Filter = EVERYTHING, *, centre: Centre | None = None
    ) -> tuple[list[list[Hit]], list[Floats]]:
        """As `search`, and the hits' embeddings: [q] arrays [hits, dim]."""
        return self._search(queries, k, where, centre, vectors=True)

    def rows(self, ids: Sequence[int], *, missing_ok: bool = False) -> list[Row]:
        """The rows of these ids, in their order, without crops.

        Raises:
            UserError: one is not there (unless `missing_ok`: then it is left out).
        """
        found: dict[int, Row] = {}
        for start in range(0, len(ids), WRITTEN):
            part = self._among(ids[start : start + WRITTEN])
            for each in self._records(part, record.ALL):
                found[int(each[self._number])] = record.row_of(each, int(each[self._number]))
        absent = [i for i in ids if i not in found]
        if absent and not missing_ok:
            raise UserError(f"{self._collection.address}: has no row {absent[0]}; was it deleted?")
        return [found[i] for i in ids if i in found]

    def ids(self, where: Filter = EVERYTHING) -> list[int]:
        """Ids of the rows that meet the conditions, ascending."""
        return sorted(int(each[self._number]) for each in self._records(self._where(where), (self._number,)))

    def people(self) -> list[Person]:
        """Everyone by name; the unknown rows, if there are any, come last. Reads the name and time of every row."""
        found: dict[str, Person] = {}
        for each in self._records(self._where(EVERYTHING), ("person", "time")):
            name, time = str(each["person"]), float(each["time"])
            old = found.get(name, Person(name or None, 0, time, time))
            found[name] = replace(old, rows=old.rows + 1, first=min(old.first, time), last=max(old.last, time))
        return sorted(found.values(), key=lambda p: (p.person_id is None, p.person_id or ""))

    def means(self) -> dict[Modality, Floats]:
        """[dim] mean embedding of each modality that there is. Reads every row."""
        sums: dict[str, tuple[Any, int]] = {}
        for each in self._records(self._where(EVERYTHING), ("modality", "vector")):
            total, count = sums.get(each["modality"], (np.zeros(self.dim), 0))
            sums[each["modality"]] = total + np.asarray(each["vector"], np.float64), count + 1
        return {Modality(name): (total / count).astype(np.float32) for name, (total, count) in sorted(sums.items())}

    # ------------------------------------------------------------------------------------------------------ writing

    def add(self, rows: Sequence[Row]) -> list[int]:
        """Add rows; the server has them when this returns.

        Returns:
            Their ids: random, not ascending.

        Raises:
            UserError: a row cannot be stored (it is named by its place) or has a crop; nothing was added.
        """
        device = self._writable()
        check_embeddings(list(rows), self.dim)
        for place, row in enumerate(rows):
            if row.crop is not None:
                raise UserError(f"row {place}: has a crop; crops stay on devices, leave it out")
            record.record_of(device, place, 0, row)
        ids = [secrets.randbits(62) for _ in rows]
        self._put([record.record_of(device, i, 0, row) for i, row in zip(ids, rows, strict=True)])
        return ids

    def delete(
        self, ids: Iterable[int] | None = None, *, person: str | None = None, where: Filter | None = None
    ) -> int:
        """Delete the rows of these ids, of this person, or that meet the conditions; how many there were."""
        device = self._writable()
        if (ids is not None) + (person is not None) + (where is not None) != 1:
            raise TypeError("delete: give ids, person or where")
        if ids is not None:
            doomed = [row.row_id or 0 for row in self.rows(list(dict.fromkeys(ids)), missing_ok=True)]
        else:
            doomed = self.ids(where if where is not None else Filter(persons=(person or "",)))
        self._ask(lambda: self._collection.delete([record.key_of(device, i) for i in doomed]))
        return len(doomed)

    def rename(self, old: str, new: str) -> int:
        """Give a person another id; how many rows that were.

        Raises:
            UserError: there is no such person, or the new id is someone else's.
        """
        check_name(new, "new person id")
        if new != old and self.ids(Filter(persons=(new,))):
            raise UserError(
                f"{self._collection.address}: there is a person '{new}' already; merge '{old}' into them instead"
            )
        return self._relabel((old,), new)

    def merge(self, persons: Sequence[str], into: str) -> int:
        """Give several people's rows to one, who need not be there yet; how many rows that were.

        Raises:
            UserError: one of `persons` is not there.
        """
        check_name(into, "person id to merge into")
        return self._relabel(tuple(p for p in dict.fromkeys(persons) if p != into), into)

    def assign(self, ids: Sequence[int], person: str | None) -> None:
        """Say whose rows these are; None makes them unknown.

        Raises:
            UserError: one is not there.
        """
        if person is not None:
            check_name(person, "person id")
        device = self._writable()
        rows = self.rows(list(dict.fromkeys(ids)))
        self._put([record.record_of(device, row.row_id or 0, 0, replace(row, person_id=person)) for row in rows])

    # -------------------------------------------------------------------------------------------------------- parts

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        """An answer of the server, or one line that says that there is none."""
        try:
            return question()
        except Later as error:
            raise UserError(f"{error}; is the server running, is the network there?") from error

    def _where(self, where: Filter) -> str | None:
        return record.expression(where, self.device)

    def _among(self, ids: Sequence[int]) -> str | None:
        mine = self._where(EVERYTHING)
        tests = [*([mine] if mine else []), f"{self._number} in [{', '.join(str(int(i)) for i in ids)}]"]
        return " and ".join(tests) if ids else None

    def _records(self, expression: str | None, fields: Sequence[str]) -> Iterator[dict[str, Any]]:
        if expression is None:
            return
        try:
            for page in self._collection.pages(expression, fields, fresh=self._fresh):
                yield from page
        except Later as error:
            raise UserError(f"{error}; is the server running, is the network there?") from error

    def _writable(self) -> str:
        if self.device is None:
            raise UserError(f"{self._collection.address}: was opened for all devices, to be read; name one to write")
        return self.device

    def _put(self, records: list[dict[str, Any]]) -> None:
        for start in range(0, len(records), WRITTEN):
            part = records[start : start + WRITTEN]
            self._ask(partial(self._collection.upsert, part))

    def _relabel(self, old: tuple[str, ...], new: str) -> int:
        device = self._writable()
        found = list(self._records(self._where(Filter(persons=old)), record.ALL))
        absent = [name for name in old if name not in {each["person"] for each in found}]
        if absent:
            raise UserError(f"{self._collection.address}: has no person '{absent[0]}'; nothing was changed")
        rows = [replace(record.row_of(each, int(each["row_id"])), person_id=new) for each in found]
        self._put([record.record_of(device, row.row_id or 0, 0, row) for row in rows])
        return len(rows)

    def _search(
        self, queries: Floats, k: int, where: Filter, centre: Centre | None, *, vectors: bool
    ) -> tuple[list[list[Hit]], list[Floats]]:
        if k < 1:
            raise UserError(f"search: k is {k}; expected 1 or more")
        asked = np.asarray(queries)
        if asked.ndim != 2 or asked.shape[1] != self.dim:
            raise UserError(f"search: queries have shape {asked.shape}; expected [queries, {self.dim}]")
        unit = normalise(asked, [f"query {i}" for i in range(len(asked))])
        expression = self._where(where)
        if expression is None or not len(unit):
            found: list[list[tuple[float, dict[str, Any]]]] = [[] for _ in unit]
        elif centre is not None:
            found = self._scan(unit, k, expression, centre)
        else:
            found = self._found(unit, k, expression, vectors)
        ranked = [sorted(each, key=lambda item: (-item[0], item[1][self._number])) for each in found]
        theirs = [
            np.array([r["vector"] for _, r in each], np.float32).reshape(-1, self.dim) for each in ranked if vectors
        ]
        return [[self._hit(score, each) for score, each in one] for one in ranked], theirs

    def _found(self, unit: Floats, k: int, expression: str, vectors: bool) -> list[list[tuple[float, dict[str, Any]]]]:
        if k > MOST_HITS:
            # "All of them": a server gives at most so many, and is not told the truth about how many there are.
            k = min(k, self._ask(lambda: self._collection.count(expression, fresh=self._fresh)))
            if not k:
                return [[] for _ in unit]
            if k > MOST_HITS:
                return self._scan(unit, k, expression, None)
        fields = (*record.ABOUT, "vector") if vectors else record.ABOUT
        return self._ask(lambda: self._collection.search(unit, k, expression, fields, fresh=self._fresh))

    def _scan(
        self, unit: Floats, k: int, expression: str, centre: Centre | None
    ) -> list[list[tuple[float, dict[str, Any]]]]:
        """Every matching row, read and compared here."""
        records = list(self._records(expression, (*record.ABOUT, "vector")))
        vectors = np.array([each["vector"] for each in records], np.float32).reshape(-1, self.dim)
        if centre is not None:
            modality, means = centre
            there = [Modality(each["modality"]) for each in records]
            for needed in {modality, *there}:
                if needed not in means:
                    raise UserError(f"centring: no mean of modality '{needed}'; give one, or search without centring")
            unit = normalise(unit - means[modality], [f"centred query {i}" for i in range(len(unit))])
            vectors = vectors - np.array([means[m] for m in there], np.float32).reshape(-1, self.dim)
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = (vectors / np.where(lengths > 1e-6, lengths, np.inf)).astype(np.float32)
        numbers = np.array([each[self._number] for each in records], np.int64)
        answers = []
        for query in unit:
            scores = vectors @ query
            best = np.lexsort((numbers, -scores))[:k]
            answers.append([(float(scores[i]), records[i]) for i in best])
        return answers

    def _hit(self, score: float, found: dict[str, Any]) -> RemoteHit:
        return RemoteHit(
            int(found[self._number]),
            score,
            found["person"] or None,
            found["camera"] or None,
            Modality(found["modality"]),
            float(found["time"]),
            str(found["device"]),
            int(found["row_id"]),
        )
