"""Scans against a plain matrix product, the copy of the vectors, and what readers see of others' changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.gallery import Filter, Gallery, Row, eight_bit, sidecar
from edge_runtime.gallery.eight_bit import EightBitScan
from edge_runtime.gallery.scan import FaissScan, NumpyScan
from edge_runtime.gallery.sidecar import open_sidecar, place_of
from edge_runtime.gallery.table import Table
from reid.errors import UserError
from reid.modality import Modality

Opened = Callable[..., Gallery]
Rows = Callable[..., list[Row]]


def unit(n: int, dim: int, seed: int) -> Any:
    found = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def table_of(vectors: Any) -> Table:
    table = Table(vectors.shape[1])
    n = len(vectors)
    table.append(np.arange(1, n + 1), [None] * n, [None] * n, ["rgb"] * n, 0.0)
    table.vectors[:] = vectors
    return table


def check(scan: Any, table: Table, queries: Any, k: int, mask: Any) -> None:
    scores, places = scan.top(table, queries, k, mask)
    exact = queries.astype(np.float64) @ table.vectors.T.astype(np.float64)
    allowed = np.ones(table.rows, bool) if mask is None else mask
    expected = -np.sort(-exact[:, allowed], axis=1)[:, :k]
    assert scores.shape == places.shape == expected.shape
    np.testing.assert_allclose(-np.sort(-scores, axis=1), expected, atol=1e-5)
    assert allowed[places].all()
    np.testing.assert_allclose(np.take_along_axis(exact, places, 1), scores, atol=1e-5)
    assert all(len(set(row)) == len(row) for row in places.tolist())


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([NumpyScan, FaissScan]),
    st.integers(1, 400),
    st.integers(1, 25),
    st.integers(1, 60),
    st.sampled_from([None, 0.0, 0.005, 0.1, 0.45, 0.55, 0.9, 1.0]),
    st.integers(0, 1000),
)
def test_scans_are_exact_whatever_share_of_the_rows_matches(
    scan: Any, n: int, queries: int, k: int, share: float | None, seed: int
) -> None:
    mask = None if share is None else np.random.default_rng(seed).random(n) < share
    check(scan(), table_of(unit(n, 7, seed)), unit(queries, 7, seed + 1), k, mask)


def test_many_rows_are_scanned_in_blocks_and_the_best_may_all_be_filtered_out() -> None:
    vectors = unit(70_000, 4, 0)
    table, query = table_of(vectors), vectors[:1]
    scores = vectors @ query[0]
    without_best = scores < np.sort(scores)[-500]  # more than is taken in reserve
    for scan in (NumpyScan(), FaissScan()):
        check(scan, table, query, 10, without_best)
        check(scan, table, unit(30, 4, 1), 10, None)


@pytest.fixture
def small_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eight_bit, "FROM_ROWS", 1000)


@pytest.mark.usefixtures("small_codes")
def test_the_8_bit_scan_follows_additions_deletions_and_a_growing_range() -> None:
    rng = np.random.default_rng(0)
    table, scan = table_of(unit(3000, 32, 0)), EightBitScan()
    scan.appended(table)
    assert scan.is_used
    assert "recall@10 1.0000" in scan.note

    def all_right() -> None:
        for mask in (None, rng.random(table.rows) < 0.5, rng.random(table.rows) < 0.02):
            check(scan, table, unit(5, 32, 9), 10, mask)

    all_right()
    for turn in range(3):
        moves = table.remove(np.sort(rng.choice(table.rows, 200, replace=False)))
        scan.moved(table, moves)
        all_right()
        more = unit(150, 32, 20 + turn)
        if turn == 2:
            more = np.eye(32, dtype=np.float32)[rng.integers(0, 32, 150)]  # far outside the range of the others
        where = table.append(np.arange(150) + 10_000 * (turn + 1), [None] * 150, [None] * 150, ["ir"] * 150, 1.0)
        table.vectors[where] = more
        scan.appended(table)
        all_right()
    assert scan._range[1] == pytest.approx(1)
    scan.moved(table, table.remove(np.arange(table.rows - 500)))
    assert not scan.is_used
    assert "are used from 1000 rows on, there are 500" in scan.note
    all_right()


@pytest.mark.usefixtures("small_codes")
def test_codes_that_find_too_little_are_not_used_and_it_is_said() -> None:
    # All rows lie within 0.01 of one direction, while one far-away row stretches the range.
    vectors = unit(1, 16, 0) + 1e-2 * unit(3000, 16, 1)
    vectors[0] = -vectors[0]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    table, scan = table_of(vectors), EightBitScan()
    scan.appended(table)
    assert not scan.is_used
    assert scan.note.startswith("exact scan: recall@10 of the 8-bit one is 0.")
    check(scan, table, vectors[5:8], 10, None)


def test_a_reader_sees_what_others_commit_and_catches_up_after_pruning(opened: Opened, some_rows: Rows) -> None:
    rows = some_rows(20)
    query = rows[0].embedding[None]
    with opened() as writer, opened(read_only=True) as reader:
        ids = writer.add(rows)
        assert {h.row_id for h in reader.search(query, 99)[0]} == set(ids)
        writer.delete(ids[:5])
        writer.rename("ann", "eve")
        writer.compact()  # takes the tombstones away, so that the reader has to begin anew
        hits = reader.search(query, 99)[0]
        assert {h.row_id for h in hits} == set(ids[5:])
        assert "ann" not in {h.person_id for h in hits}
        more = writer.add(rows[:3])
        assert {h.row_id for h in reader.search(query, 99)[0]} == {*ids[5:], *more}


def answers(gallery: Gallery) -> Any:
    return [
        [(hit.row_id, round(hit.score, 5)) for hit in hits] for hits in gallery.search(unit(6, 8, 77), 8)
    ], gallery.notes


def test_a_flipped_cut_or_stale_copy_of_the_vectors_changes_no_answer(
    opened: Opened, some_rows: Rows, place: Path
) -> None:
    with opened() as gallery:
        ids = gallery.add(some_rows(50))
        expected = answers(gallery)
        gallery.write_sidecar()
    copy = place_of(place)
    good = copy.read_bytes()
    rng = np.random.default_rng(0)
    variants = [good, good[:-100], good + b"x", b"", b"RGLYVEC1", good[:30]]
    for _ in range(40):
        bad = bytearray(good)
        for at in rng.integers(0, len(good), 3):
            bad[at] ^= 1 << int(rng.integers(8))
        variants.append(bytes(bad))
    for content in variants:
        copy.write_bytes(content)
        with opened() as gallery:
            assert answers(gallery) == expected
    copy.write_bytes(good)
    with opened() as gallery:
        gallery.search(unit(1, 8, 0), 1)
        assert gallery._index._from_sidecar == 50
        gallery.delete(ids[:9])
        gallery.add(some_rows(4, seed=5))
        expected = answers(gallery)
    with opened() as gallery:
        assert answers(gallery) == expected
        assert gallery._index._from_sidecar == 41
    # The copy of another gallery, with the same ids.
    with Gallery.open(place.with_name("other.db"), space_id="space", dim=8) as other:
        other.add(some_rows(60, seed=8))
        other.write_sidecar()
    place_of(place.with_name("other.db")).replace(copy)
    with opened() as gallery:
        assert answers(gallery) == expected
        assert gallery._index._from_sidecar == 0


def test_the_copy_is_written_on_closing_where_it_pays(
    opened: Opened, some_rows: Rows, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened() as gallery:
        gallery.add(some_rows(30))
        gallery.search(unit(1, 8, 0), 1)
    assert not place_of(place).exists()
    monkeypatch.setattr(sidecar, "FROM_ROWS", 20)
    with opened() as gallery:
        gallery.search(unit(1, 8, 0), 1)
    assert open_sidecar(place_of(place), 8) is not None
    before = place_of(place).stat().st_mtime_ns
    with opened() as gallery:
        gallery.add(some_rows(1))
        gallery.search(unit(1, 8, 0), 1)
    assert place_of(place).stat().st_mtime_ns == before  # one row in 31 is not worth a new one


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.booleans())
def test_centred_search_is_the_cosine_after_taking_each_modalitys_mean(seed: int, n: int, own: bool) -> None:
    from edge_runtime.gallery.centred import centred_top, modality_means

    rng = np.random.default_rng(seed)
    vectors, queries = unit(n, 5, seed), unit(3, 5, seed + 1)
    names = [("rgb", "ir")[i] for i in rng.integers(0, 2, n)]
    table = Table(5)
    table.append(np.arange(n), [None] * n, [None] * n, names, 0.0)
    table.vectors[:] = vectors
    means = modality_means(table)
    for modality, mean in means.items():
        np.testing.assert_allclose(mean, vectors[[x == modality.value for x in names]].mean(0), atol=1e-6)
    if not own:
        means = {m: unit(1, 5, 3 + i)[0] / 2 for i, m in enumerate(Modality)}
    means.setdefault(Modality.IR, np.zeros(5, np.float32))
    rows = vectors - np.stack([means[Modality(x)] for x in names])
    lengths = np.linalg.norm(rows, axis=1)
    expected = ((queries - means[Modality.IR]) @ rows.T) / np.linalg.norm(queries - means[Modality.IR], axis=1)[:, None]
    expected = np.where(lengths > 1e-6, expected / np.maximum(lengths, 1e-12), 0)
    mask = rng.random(n) < 0.7
    scores, places = centred_top(table, queries, 4, mask, Modality.IR, means)
    np.testing.assert_allclose(-np.sort(-scores, axis=1), -np.sort(-expected[:, mask], axis=1)[:, :4], atol=1e-4)
    assert mask[places].all()


def test_centring_without_a_mean_is_refused(opened: Opened, some_rows: Rows) -> None:
    with opened() as gallery:
        gallery.add(some_rows(2))
        means = gallery.means()
        assert set(means) == {Modality.RGB, Modality.IR}
        with pytest.raises(UserError, match="no mean of modality 'text'"):
            gallery.search(unit(1, 8, 0), 1, centre=(Modality.TEXT, means))
        with pytest.raises(UserError, match="expected \\(8,\\), finite"):
            gallery.search(unit(1, 8, 0), 1, centre=(Modality.IR, {m: np.ones(3, np.float32) for m in Modality}))
        assert gallery.search(unit(1, 8, 0), 1, Filter(cameras=()), centre=(Modality.IR, means)) == [[]]
