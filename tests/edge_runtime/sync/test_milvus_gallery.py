"""The gallery interface over real servers, against the gallery on the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from milvus_servers import Server
from shipped_rows import CAMERAS, DIM, NAMES, some_rows

from edge_runtime.gallery import Filter, Gallery, Hit, Row
from edge_runtime.search import ReRanking, Rules, Searchable, identify
from edge_runtime.sync import Address, MilvusGallery, RemoteHit, Shipper, collection
from edge_runtime.sync import gallery as remote_gallery
from reid.errors import UserError
from reid.modality import Modality


@dataclass
class Pair:
    """The same rows here and there."""

    here: Gallery
    there: MilvusGallery
    address: Address


@pytest.fixture(scope="module")
def pair(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((300, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = [
        Row(v, NAMES[rng.integers(6)], CAMERAS[rng.integers(4)], tuple(Modality)[i % 2], float(i % 50))
        for i, v in enumerate(vectors)
    ]
    place = tmp_path_factory.mktemp("pair") / "g.db"
    address = Address(server.uri, "pair")
    with Gallery.open(place, space_id="space", dim=DIM, index="numpy") as here:
        here.add(rows)
        here.delete(range(10, 40))
        with Shipper(place, address, device="dev", say=lambda _: None, wait=lambda _: False) as shipper:
            shipper.run()
        with MilvusGallery.open(address, space_id="space", device="dev") as fresh:
            assert fresh.count == 270
        # What a fresh reader has seen, every later one sees.
        with MilvusGallery.open(address, device="dev", fresh=False) as there:
            yield Pair(here, there, address)


def of(*names: Any) -> st.SearchStrategy[Any]:
    return st.none() | st.lists(st.sampled_from(names), max_size=3).map(tuple)


filters = st.builds(
    Filter,
    cameras=of("c0", "c1", 'c"2', "nowhere"),
    not_cameras=of("c0", 'c"2'),
    since=st.none() | st.floats(0, 30),
    until=st.none() | st.floats(20, 60),
    modalities=of(Modality.RGB, Modality.IR, Modality.SKETCH),
    persons=of(*NAMES[1:], "nobody"),
    known=st.none() | st.booleans(),
)


def assert_same(found: Sequence[Sequence[Hit]], expected: Sequence[Sequence[Hit]]) -> None:
    """The same rows with the same scores in the same order, but for rows that rounding alone tells apart."""
    for mine, theirs in zip(expected, found, strict=True):
        np.testing.assert_allclose([h.score for h in theirs], [h.score for h in mine], atol=1e-5)
        known = {hit.row_id: hit for hit in mine}
        assert known.keys() == {hit.row_id for hit in theirs}
        for hit in theirs:
            same = known[hit.row_id]
            assert abs(same.score - hit.score) < 1e-5
            assert replace(same, score=0) == Hit(hit.row_id, 0, hit.person_id, hit.camera_id, hit.modality, hit.time)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(filters, st.integers(1, 400), st.integers(0, 10**6))
def test_it_answers_as_the_gallery_on_the_device(pair: Pair, where: Filter, k: int, seed: int) -> None:
    query = np.random.default_rng(seed).standard_normal((2, DIM)).astype(np.float32)
    assert_same(pair.there.search(query, k, where), pair.here.search(query, k, where))
    assert pair.there.ids(where) == pair.here.ids(where)


@pytest.mark.parametrize(
    "rules",
    [
        Rules(top=3, threshold=0.5),
        Rules(top=5, aggregate="mean", rows_of_person=4),
        Rules(top=4, rerank=ReRanking(rows=60)),
        Rules(top=200, aggregate="mean", rows_of_person=30),
    ],
)
def test_identification_is_the_same_here_and_there(pair: Pair, rules: Rules) -> None:
    searched: Searchable = pair.there
    queries = np.random.default_rng(5).standard_normal((4, DIM)).astype(np.float32)
    for mine, theirs in zip(
        identify(pair.here, queries, rules=rules), identify(searched, queries, rules=rules), strict=True
    ):
        assert theirs.person_id == mine.person_id
        assert [c.row_id for c in theirs.candidates] == [c.row_id for c in mine.candidates]
        np.testing.assert_allclose(
            [c.rank_score for c in theirs.candidates], [c.rank_score for c in mine.candidates], atol=1e-4
        )


def test_means_people_rows_and_centring_are_the_same(pair: Pair) -> None:
    means, expected = pair.there.means(), pair.here.means()
    assert means.keys() == expected.keys()
    for modality in means:
        np.testing.assert_allclose(means[modality], expected[modality], atol=1e-6)
    assert pair.there.people() == pair.here.people()
    for mine, theirs in zip(pair.here.rows([299, 1, 50]), pair.there.rows([299, 1, 50]), strict=True):
        np.testing.assert_array_equal(mine.embedding, theirs.embedding)
        assert (mine.person_id, mine.metadata, mine.row_id) == (theirs.person_id, theirs.metadata, theirs.row_id)
    query = np.random.default_rng(7).standard_normal((2, DIM)).astype(np.float32)
    centre = (Modality.IR, expected)
    assert_same(pair.there.search(query, 9, centre=centre), pair.here.search(query, 9, centre=centre))
    with pytest.raises(UserError, match="no mean of modality"):
        pair.there.search(query, 9, centre=(Modality.IR, {Modality.IR: expected[Modality.IR]}))


def test_more_hits_than_a_server_gives_are_read_and_compared_here(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_gallery, "MOST_HITS", 100)
    query = np.random.default_rng(8).standard_normal((3, DIM)).astype(np.float32)
    for k, where in ((2**31 - 1, Filter()), (150, Filter()), (2**31 - 1, Filter(cameras=("c0",), known=True))):
        expected = pair.here.search(query, k, where)
        found, vectors = pair.there.search_with_vectors(query, k, where)
        assert_same(found, expected)
        for hits, theirs in zip(found, vectors, strict=True):
            np.testing.assert_array_equal(theirs, [row.embedding for row in pair.here.rows([h.row_id for h in hits])])
    monkeypatch.setattr(collection, "MOST_HITS", 100)
    many = np.random.default_rng(9).standard_normal((7, DIM)).astype(np.float32)
    assert len(pair.there.search(many, 40)) == 7


def test_bad_questions_are_refused_before_they_are_asked(pair: Pair) -> None:
    with pytest.raises(UserError, match="expected 1 or more"):
        pair.there.search(np.ones((1, DIM), np.float32), 0)
    with pytest.raises(UserError, match="expected \\[queries, 8\\]"):
        pair.there.search(np.ones((1, 3), np.float32), 1)
    with pytest.raises(UserError, match="query 1"):
        pair.there.search(np.array([[1] * DIM, [np.nan] * DIM], np.float32), 1)
    assert pair.there.search(np.ones((1, DIM), np.float32), 5, Filter(persons=("nobody",))) == [[]]
    with pytest.raises(UserError, match="has no row 12;"):
        pair.there.rows([12])
    for wrong in ({"space_id": "other"}, {"dim": 9}):
        with pytest.raises(UserError, match="holds embeddings of"):
            MilvusGallery.open(pair.address, **wrong)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no such collection"):
        MilvusGallery.open(Address(pair.address.uri, "nothing"))


def test_a_console_writes_under_a_name_of_its_own(pair: Pair) -> None:
    with MilvusGallery.open(pair.address, device="console") as console:
        rows = some_rows(12)
        ids = console.add(rows)
        assert console.count == len(set(ids)) == 12
        hit = console.search(rows[4].embedding[None], 1)[0][0]
        assert (hit.row_id, hit.person_id) == (ids[4], rows[4].person_id)
        assert console.rename("ann", "eve") == 2
        assert console.merge(["eve", NAMES[2] or ""], "mia") == 4
        console.assign(ids[:1], "mia")
        assert {p.person_id: p.rows for p in console.people()}["mia"] == 5
        assert console.rows(ids[1:2])[0].metadata == rows[1].metadata
        with pytest.raises(UserError, match="has no person 'eve'"):
            console.rename("eve", "x")
        with pytest.raises(UserError, match="there is a person 'mia' already"):
            console.rename(NAMES[3] or "", "mia")
        with pytest.raises(UserError, match="row 0: has a crop"):
            console.add([Row(rows[0].embedding, crop=b"\xff\xd8")])
        assert console.delete(ids[:2]) == 2
        assert console.delete(person="mia") == 3
        assert console.delete(where=Filter(known=False)) == 1
        assert console.count == 6
        # Everyone's rows together: numbers are unique, though row numbers of devices are not.
        with MilvusGallery.open(pair.address) as everyone:
            assert everyone.count == 276
            found = everyone.search(rows[9].embedding[None], 300)[0]
            assert len({h.row_id for h in found}) == 276
            best = found[0]
            assert isinstance(best, RemoteHit)
            assert (best.device, best.device_row) == ("console", ids[9])
            assert everyone.rows([best.row_id])[0].person_id == rows[9].person_id
            with pytest.raises(UserError, match="name one to write"):
                everyone.delete(person="x")
        assert console.delete(where=Filter()) == 6


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("pymilvus")
    with pytest.raises(UserError, match="is the server running") as error:
        MilvusGallery.open(Address(f"unix:{tmp_path}/nobody", "c", "root:s3cret"), seconds=1)
    assert "s3cret" not in str(error.value)
    assert "\n" not in str(error.value)
