"""What is stored, found, renamed and deleted, and what is refused."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.gallery import Filter, Gallery, Row
from edge_runtime.gallery import schema as gallery_schema
from reid.errors import UserError
from reid.modality import Modality

Opened = Callable[..., Gallery]
Rows = Callable[..., list[Row]]


def same(found: Row, given: Row) -> bool:
    plain = replace(found, row_id=None, embedding=given.embedding)
    return plain == replace(given, embedding=given.embedding) and np.array_equal(found.embedding, given.embedding)


def test_rows_come_back_as_they_were_after_reopening(opened: Opened, some_rows: Rows) -> None:
    rows = some_rows(20, crops=True)
    with opened() as gallery:
        ids = gallery.add(rows)
    with opened() as gallery:
        assert gallery.count == 20
        assert all(same(found, given) for found, given in zip(gallery.rows(ids), rows, strict=True))
        assert [row.row_id for row in gallery.rows(ids[::-1])] == ids[::-1]
        assert gallery.verify() == []


@pytest.mark.parametrize("index", ["faiss", "numpy", "sq8"])
def test_a_row_finds_itself_and_fewer_rows_than_asked_for_are_all_there_is(
    opened: Opened, some_rows: Rows, index: str
) -> None:
    rows = some_rows(30)
    with opened(index=index) as gallery:
        assert gallery.search(rows[0].embedding[None], 5) == [[]]
        ids = gallery.add(rows)
        for hits, row_id in zip(gallery.search(np.stack([row.embedding for row in rows]), 1), ids, strict=True):
            assert (hits[0].row_id, hits[0].score) == (row_id, pytest.approx(1, abs=1e-6))
        hits = gallery.search(rows[3].embedding[None] * 7, 100)[0]
        assert sorted(hit.row_id for hit in hits) == ids
        assert [hit.score for hit in hits] == sorted([hit.score for hit in hits], reverse=True)
        nobody = Filter(cameras=("nowhere",))
        assert gallery.search(rows[0].embedding[None], 5, nobody) == [[]]


def test_ids_are_never_given_twice(opened: Opened, some_rows: Rows) -> None:
    with opened() as gallery:
        first = gallery.add(some_rows(5))
        assert gallery.delete(where=Filter()) == 5
        gallery.compact()
    with opened() as gallery:
        assert min(gallery.add(some_rows(2))) > max(first)


def test_the_index_follows_deletions_renames_and_additions(opened: Opened, some_rows: Rows) -> None:
    rows = some_rows(12)
    query = rows[1].embedding[None]
    with opened() as gallery:
        ids = gallery.add(rows)
        assert gallery.search(query, 1)[0][0].person_id == "ann"
        assert gallery.rename("ann", "eve") == 3
        assert gallery.search(query, 1)[0][0].person_id == "eve"
        assert gallery.search(query, 12, Filter(persons=("ann",))) == [[]]
        assert gallery.merge(["bob", "cy"], "eve") == 6
        assert [(p.person_id, p.rows) for p in gallery.people()] == [("eve", 9), (None, 3)]
        gallery.assign(ids[:1], "zoe")
        assert gallery.search(rows[0].embedding[None], 1)[0][0].person_id == "zoe"
        assert gallery.delete([ids[1], 10**9]) == 1
        assert ids[1] not in {hit.row_id for hit in gallery.search(query, 12)[0]}
        assert gallery.delete(person="zoe") == 1
        assert gallery.count == 10
        assert gallery.verify() == []


def test_renaming_onto_someone_or_from_nobody_changes_nothing(opened: Opened, some_rows: Rows) -> None:
    with opened() as gallery:
        gallery.add(some_rows(8))
        before = gallery.people(), gallery.last_change
        for act, message in (
            (lambda: gallery.rename("ann", "bob"), "merge 'ann' into them"),
            (lambda: gallery.rename("dan", "eve"), "has no person 'dan'"),
            (lambda: gallery.merge(["ann", "dan"], "eve"), "has no person 'dan'"),
            (lambda: gallery.rename("ann", "unknown"), "stands for no person"),
            (lambda: gallery.assign([1, 99], "eve"), "has no row 99"),
        ):
            with pytest.raises(UserError, match=message):
                act()
        assert (gallery.people(), gallery.last_change) == before


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"embedding": np.full(8, np.nan, np.float32)}, r"row 1: embedding has length nan"),
        ({"embedding": np.full(8, np.inf, np.float32)}, r"row 1: embedding has length inf"),
        ({"embedding": np.ones(8, np.float32)}, r"row 1: embedding has length 2.828"),
        ({"embedding": np.ones(7, np.float32)}, r"row 1: embedding has shape \(7,\)"),
        ({"person_id": ""}, "row 1: person id is ''"),
        ({"person_id": "unknown"}, "stands for no person"),
        ({"person_id": "\ud800"}, "lone surrogates"),
        ({"camera_id": ""}, "row 1: camera id"),
        ({"time": float("nan")}, "row 1: time is nan"),
        ({"crop": b"PNG"}, "row 1: the crop is not a JPEG"),
        ({"metadata": {"x": {1, 2}}}, "row 1: metadata is not JSON"),
        ({"metadata": {"x": float("nan")}}, "row 1: metadata is not JSON"),
        ({"modality": "lidar"}, "row 1: 'lidar' is not a modality"),
    ],
)
def test_a_row_that_cannot_be_stored_is_named_and_none_is(
    opened: Opened, some_rows: Rows, broken: dict[str, Any], message: str
) -> None:
    good = some_rows(3)
    with opened() as gallery:
        with pytest.raises(UserError, match=message):
            gallery.add([good[0], replace(good[1], **broken), good[2]])
        assert gallery.count == 0
        assert gallery.add(good) == [1, 2, 3]


def test_bad_queries_are_named(opened: Opened, some_rows: Rows) -> None:
    with opened() as gallery:
        gallery.add(some_rows(3))
        queries = np.ones((3, 8), np.float32)
        queries[1, 2] = np.nan
        with pytest.raises(UserError, match="query 1"):
            gallery.search(queries, 1)
        with pytest.raises(UserError, match=r"shape \(2, 5\); expected \[queries, 8\]"):
            gallery.search(np.ones((2, 5), np.float32), 1)
        with pytest.raises(UserError, match="k is 0"):
            gallery.search(np.ones((1, 8), np.float32), 0)


def test_another_bundle_is_refused(opened: Opened, place: Path) -> None:
    opened().close()
    with pytest.raises(UserError, match="bundle space space; this bundle's is other"):
        Gallery.open(place, space_id="other", dim=8)
    with pytest.raises(UserError, match="of width 8; this bundle's have 9"):
        Gallery.open(place, space_id="space", dim=9)
    with Gallery.open(place) as gallery:
        assert (gallery.space_id, gallery.dim) == ("space", 8)


def test_what_is_not_there_is_not_made_to_be_read(place: Path) -> None:
    with pytest.raises(UserError, match="no such gallery"):
        Gallery.open(place, space_id="space", dim=8, create=False)
    with pytest.raises(UserError, match="no such gallery"):
        Gallery.open(place, read_only=True)
    assert not place.exists()
    with pytest.raises(UserError, match="cannot be opened"):
        Gallery.open(place / "deeper" / "x.db", space_id="space", dim=8)


def test_reading_only_never_writes(opened: Opened, some_rows: Rows) -> None:
    with opened() as gallery:
        gallery.add(some_rows(3))
    with opened(read_only=True) as gallery:
        assert len(gallery.search(some_rows(1)[0].embedding[None], 9)[0]) == 3
        with pytest.raises(UserError, match="opened to be read only"):
            gallery.add(some_rows(1))


def test_another_programs_database_is_left_alone(place: Path) -> None:
    connection = sqlite3.connect(place)
    connection.execute("CREATE TABLE notes (x)")
    connection.commit()
    connection.close()
    with pytest.raises(UserError, match="a database of another program"):
        Gallery.open(place, space_id="space", dim=8)
    place.write_bytes(b"just some text, and rather a lot of it " * 50)
    with pytest.raises(UserError, match="not a gallery"):
        Gallery.open(place, space_id="space", dim=8)


def test_a_future_schema_is_refused_by_its_version(opened: Opened, place: Path) -> None:
    opened().close()
    connection = sqlite3.connect(place)
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(UserError, match="schema version 9; this program reads up to 1; update it"):
        opened()


def test_an_older_schema_is_migrated_whole_or_not_at_all(
    opened: Opened, some_rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened() as gallery:
        gallery.add(some_rows(4))
    monkeypatch.setattr(gallery_schema, "VERSION", 3)
    add = "ALTER TABLE row ADD COLUMN height REAL"
    monkeypatch.setattr(gallery_schema, "MIGRATIONS", {1: (add,), 2: ("SELECT * FROM absent",)})
    with pytest.raises(UserError, match="lacks a table"):
        opened()
    with pytest.raises(UserError, match="open it for writing once"):
        opened(read_only=True)
    # Had the first step stayed, it could not be done again.
    monkeypatch.setattr(gallery_schema, "MIGRATIONS", {1: (add,), 2: ("UPDATE row SET height = 2",)})
    with opened() as gallery:
        assert gallery.count == 4
        assert gallery.verify() == []
    with opened(read_only=True) as gallery:
        assert len(gallery.rows([1, 2, 3, 4])) == 4


def test_retention_goes_by_the_time_given_and_by_the_order_of_arrival(opened: Opened, some_rows: Rows) -> None:
    day = 86_400.0
    rows = some_rows(6)
    # The clock went back after the third row.
    times = [10 * day, 11 * day, 12 * day, 0.0, 1.0, 2.0]
    with opened() as gallery:
        ids = gallery.add([replace(row, time=time) for row, time in zip(rows, times, strict=True)])
        assert gallery.apply_retention(max_rows=4) == 2
        assert gallery.ids() == ids[2:]
        assert gallery.apply_retention(keep_days=1, now=-5 * day) == 0
        assert gallery.apply_retention(keep_days=12, now=12 * day + 1) == 1
        assert gallery.ids() == [ids[2], *ids[4:]]
        assert gallery.apply_retention(max_rows=0, where=Filter(known=False)) == 1
        assert gallery.ids() == [ids[2], ids[5]]
        with pytest.raises(UserError, match="--keep-days -1"):
            gallery.apply_retention(keep_days=-1)
        assert gallery.apply_retention() == 0


def test_deleted_vectors_and_crops_are_gone_from_every_file(opened: Opened, some_rows: Rows, place: Path) -> None:
    rows = some_rows(40, crops=True)
    secret = rows[7].embedding.tobytes()
    with opened() as gallery:
        ids = gallery.add(rows)
        gallery.search(rows[0].embedding[None], 1)
        gallery.write_sidecar()
        assert sum(secret in file.read_bytes() for file in place.parent.iterdir()) >= 2
        gallery.delete([ids[7]])
        for file in place.parent.iterdir():
            assert secret not in file.read_bytes()
            assert rows[7].crop not in file.read_bytes()


def test_threads_search_while_others_write(opened: Opened, some_rows: Rows) -> None:
    rows = some_rows(200)
    failures: list[BaseException] = []
    with opened() as gallery:
        keep = gallery.add(rows[:20])
        queries = np.stack([row.embedding for row in rows[:20]])

        def searches() -> None:
            try:
                for _ in range(60):
                    for hits, row in zip(gallery.search(queries, 1), keep, strict=True):
                        assert hits[0].row_id == row
            except BaseException as error:
                failures.append(error)

        def writes() -> None:
            try:
                for start in range(20, 200, 20):
                    ids = gallery.add(rows[start : start + 20])
                    gallery.delete(ids[::2])
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=target) for target in (searches, searches, writes, writes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert gallery.count == 20 + 2 * 90
        assert gallery.verify() == []


def test_re_embedding_replaces_every_vector_or_none(opened: Opened, some_rows: Rows, place: Path) -> None:
    rows = some_rows(5, crops=True)

    def embed(crops: list[bytes], modality: Modality) -> Any:
        found = np.zeros((len(crops), 4), np.float32)
        found[np.arange(len(crops)), [crop[-1] % 4 for crop in crops]] = 1
        return found

    with opened() as gallery:
        gallery.add([*rows, replace(rows[0], crop=None)])
        gallery.search(rows[0].embedding[None], 1)
        with pytest.raises(UserError, match="1 rows have no crop to re-embed: 6"):
            gallery.reembed("newer", 4, embed)
        gallery.delete([6])
        with Gallery.open(place) as reader:
            reader.search(rows[0].embedding[None], 1)
            with pytest.raises(UserError, match="re-embedding: row"):
                gallery.reembed("newer", 4, lambda crops, modality: 2 * embed(crops, modality))
            assert gallery.reembed("newer", 4, embed) == 5
            assert (gallery.space_id, gallery.dim) == ("newer", 4)
            assert {h.row_id for h in gallery.search(np.eye(4, dtype=np.float32)[:1], 2)[0]} == {1, 5}
            assert gallery.verify() == []
            with pytest.raises(UserError, match="another bundle now"):
                reader.search(rows[0].embedding[None], 1)


def test_the_wrong_index_is_named(opened: Opened) -> None:
    with pytest.raises(UserError, match="--index hnsw: no such index"):
        opened(index="hnsw")


def test_without_faiss_numpy_serves_and_says_so(
    opened: Opened, some_rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_runtime.gallery.index.find_spec", lambda name: None)
    with opened() as gallery:
        gallery.add(some_rows(3))
        assert gallery.index == "numpy"
        assert "faiss is not installed" in gallery.notes[0]
    with pytest.raises(UserError, match="--index sq8 needs faiss"):
        opened(index="sq8")
