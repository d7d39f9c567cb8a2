"""The gallery against a plain dictionary and brute force, whatever is done to it in whatever order."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge_runtime.gallery import Filter, Gallery, Row
from reid.modality import Modality

DIM = 6
PEOPLE = ("ann", "bob", "cy")
CAMERAS = ("c0", "c1")

some = st.one_of
person = st.sampled_from([None, *PEOPLE])
filters = st.builds(
    Filter,
    cameras=some(st.none(), st.lists(st.sampled_from([*CAMERAS, "none"]), max_size=2).map(tuple)),
    not_cameras=some(st.none(), st.lists(st.sampled_from(CAMERAS), max_size=2).map(tuple)),
    since=some(st.none(), st.integers(0, 9).map(float)),
    until=some(st.none(), st.integers(0, 9).map(float)),
    modalities=some(st.none(), st.lists(st.sampled_from(list(Modality)), max_size=2).map(tuple)),
    persons=some(st.none(), st.lists(st.sampled_from([*PEOPLE, "nobody"]), max_size=2).map(tuple)),
    known=st.sampled_from([None, True, False]),
)


def meets(row: Row, f: Filter) -> bool:
    return (
        (f.cameras is None or row.camera_id in f.cameras)
        and (f.not_cameras is None or row.camera_id not in f.not_cameras)
        and (f.since is None or row.time >= f.since)
        and (f.until is None or row.time < f.until)
        and (f.modalities is None or row.modality in f.modalities)
        and (f.persons is None or row.person_id in f.persons)
        and (f.known is None or (row.person_id is not None) == f.known)
    )


def unit(seed: int) -> Any:
    vector = np.random.default_rng(seed).standard_normal(DIM).astype(np.float32)
    return vector / np.linalg.norm(vector)


class Model(RuleBasedStateMachine):
    """Two galleries on one file, so that each also follows what the other does; and a copy that is shipped to."""

    @initialize(first=st.sampled_from(["faiss", "numpy"]))
    def begin(self, first: str) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.kinds = [first, "numpy"]
        self.galleries = [self._open(kind) for kind in self.kinds]
        self.rows: dict[int, Row] = {}
        self.highest = 0
        self.shipped: dict[int, Row] = {}

    def _open(self, kind: str) -> Gallery:
        return Gallery.open(self.folder / "g.db", space_id="s", dim=DIM, index=kind)

    def teardown(self) -> None:
        if hasattr(self, "galleries"):
            for gallery in self.galleries:
                assert gallery.verify() == []
                gallery.close()
            shutil.rmtree(self.folder)

    @rule(
        which=st.integers(0, 1),
        seeds=st.lists(st.integers(0, 10**6), max_size=5),
        who=person,
        camera=st.sampled_from([None, *CAMERAS]),
        modality=st.sampled_from(list(Modality)),
        time=st.integers(-2, 11).map(float),
    )
    def add(self, which: int, seeds: list[int], who: Any, camera: Any, modality: Modality, time: float) -> None:
        rows = [Row(unit(seed), who, camera, modality, time, metadata={"seed": seed}) for seed in seeds]
        ids = self.galleries[which].add(rows)
        assert all(new > self.highest for new in ids)
        self.highest = max([self.highest, *ids])
        self.rows.update(zip(ids, rows, strict=True))

    @rule(which=st.integers(0, 1), picked=st.sets(st.integers(1, 40), max_size=4))
    def delete_ids(self, which: int, picked: set[int]) -> None:
        there = picked & set(self.rows)
        assert self.galleries[which].delete(picked) == len(there)
        self._drop(there)

    @rule(which=st.integers(0, 1), where=filters)
    def delete_where(self, which: int, where: Filter) -> None:
        doomed = {i for i, row in self.rows.items() if meets(row, where)}
        assert self.galleries[which].delete(where=where) == len(doomed)
        self._drop(doomed)

    @rule(which=st.integers(0, 1), old=st.sampled_from(PEOPLE), new=st.sampled_from(PEOPLE))
    def merge(self, which: int, old: str, new: str) -> None:
        theirs = [i for i, row in self.rows.items() if row.person_id == old]
        if theirs and old != new:
            assert self.galleries[which].merge([old], new) == len(theirs)
            self._name(theirs, new)

    @rule(which=st.integers(0, 1), picked=st.sets(st.integers(1, 40), max_size=3), who=person)
    def assign(self, which: int, picked: set[int], who: str | None) -> None:
        there = sorted(picked & set(self.rows))
        self.galleries[which].assign(there, who)
        self._name(there, who)

    @rule(which=st.integers(0, 1), days=st.integers(0, 8), many=st.integers(0, 12))
    def retain(self, which: int, days: int, many: int) -> None:
        now = 86_400.0 * days + 5
        old = {i for i, row in self.rows.items() if row.time < 5}
        left = sorted(set(self.rows) - old)
        doomed = old | set(left[: max(0, len(left) - many)])
        assert self.galleries[which].apply_retention(keep_days=days, max_rows=many, now=now) == len(doomed)
        self._drop(doomed)

    @rule(which=st.integers(0, 1), copy=st.booleans())
    def reopen(self, which: int, copy: bool) -> None:
        if copy:
            self.galleries[which].write_sidecar()
        self.galleries[which].close()
        self.galleries[which] = self._open(self.kinds[which])

    @rule(which=st.integers(0, 1))
    def compact(self, which: int) -> None:
        self.galleries[which].compact()

    @rule(limit=st.integers(1, 4), finish=st.booleans())
    def ship(self, limit: int, finish: bool) -> None:
        gallery = self.galleries[0]
        gallery.set_watermark("copy", gallery.watermark("copy"))
        while changes := gallery.changes_since(gallery.watermark("copy"), limit):
            assert [c.seq for c in changes] == sorted({c.seq for c in changes})
            for change in changes:
                assert (change.row is None) == (change.kind == "delete")
                if change.row is None:
                    self.shipped.pop(change.row_id, None)
                else:
                    self.shipped[change.row_id] = change.row
            if not finish:
                return  # It dies before it moves the watermark, and ships the same again.
            gallery.set_watermark("copy", changes[-1].seq)
        assert {i: row.person_id for i, row in self.shipped.items()} == {i: r.person_id for i, r in self.rows.items()}

    @precondition(lambda self: hasattr(self, "rows"))
    @rule(which=st.integers(0, 1), seed=st.integers(0, 99), k=st.integers(1, 9), where=filters)
    def search(self, which: int, seed: int, k: int, where: Filter) -> None:
        query = unit(seed)
        hits = self.galleries[which].search(query[None], k, where)[0]
        matching = {i: row for i, row in self.rows.items() if meets(row, where)}
        best = sorted(float(query.astype(float) @ row.embedding.astype(float)) for row in matching.values())[::-1]
        np.testing.assert_allclose([hit.score for hit in hits], best[:k], atol=1e-5)
        assert len({hit.row_id for hit in hits}) == len(hits)
        for hit in hits:
            row = matching[hit.row_id]
            assert abs(hit.score - float(query @ row.embedding)) < 1e-5
            assert (hit.person_id, hit.camera_id, hit.modality, hit.time) == (
                row.person_id,
                row.camera_id,
                row.modality,
                row.time,
            )

    @invariant()
    def counts_agree(self) -> None:
        if hasattr(self, "rows"):
            for gallery in self.galleries:
                assert gallery.count == len(self.rows)
                assert gallery.ids() == sorted(self.rows)

    def _drop(self, ids: set[int]) -> None:
        for i in ids:
            del self.rows[i]

    def _name(self, ids: list[int], who: str | None) -> None:
        for i in ids:
            self.rows[i] = replace(self.rows[i], person_id=who)


Model.TestCase.settings = settings(
    max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestGalleryAgainstADictionary = Model.TestCase
