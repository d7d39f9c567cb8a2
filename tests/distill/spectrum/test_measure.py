"""A store measured in pieces, against numpy over all of it at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from spectrum_stores import make_store, unit_rows

from distill.spectrum import measure as measuring
from distill.spectrum.measure import Spectra, measure, measure_share, training_rows
from distill.spectrum.reading import coordinates, pieces
from reid.embeddings import EmbeddingStore
from reid.errors import UserError
from reid.modality import Modality
from reid.sample import Split
from reid.subspace import Subspace


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingStore:
    return make_store(tmp_path_factory.mktemp("stores") / "s", dtype="float16")


def agree(found: Spectra, store: EmbeddingStore, chosen: np.ndarray) -> None:
    """Every moment is that of the chosen rows."""
    unit = unit_rows(store)
    total = found.total
    assert total.count == len(chosen)
    np.testing.assert_allclose(total.mean, unit[chosen].mean(axis=0), atol=1e-7)
    np.testing.assert_allclose(total.covariance(), np.cov(unit[chosen].T, bias=True), atol=1e-7)
    for modality, moments in found.moments.items():
        mine = [row for row in chosen if store.table.modality[row] is modality]
        assert moments.count == len(mine)
        np.testing.assert_allclose(moments.covariance(), np.cov(unit[mine].T, bias=True), atol=1e-7)


def test_the_training_people_are_measured(store: EmbeddingStore) -> None:
    found = measure(store)
    assert list(found.moments) == list(Modality)
    agree(found, store, np.flatnonzero([split is Split.TRAIN for split in store.table.split]))


def test_without_training_people_all_are_measured(tmp_path: Path) -> None:
    made = make_store(tmp_path / "s", {Split.TEST: 5})
    assert training_rows(made).tolist() == list(range(len(made)))
    agree(measure(made), made, np.arange(len(made)))


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_pieces_of_any_size_in_any_order_of_rows(store: EmbeddingStore, size: int, monkeypatch) -> None:
    rows = np.random.default_rng(0).permutation(len(store))[:217]
    seen = np.full((len(rows), store.dim), np.nan, dtype=np.float32)
    for positions, embeddings in pieces(store, rows, size):
        assert len(embeddings) <= size
        seen[positions] = embeddings
    np.testing.assert_array_equal(seen, store.embeddings(rows))
    # So few rows wait at a time that the moments are put together from many products.
    monkeypatch.setattr(measuring, "PIECE_ROWS", size)
    monkeypatch.setattr(measuring, "pieces", lambda store, rows: pieces(store, rows, size))
    agree(measure(store, rows), store, rows)


@pytest.mark.parametrize("shares", [2, 5])
def test_shares_merge_to_the_whole_in_any_order(store: EmbeddingStore, shares: int) -> None:
    rows = training_rows(store)
    parts = [measure_share(store, share, people=True) for share in np.array_split(rows, shares)]
    whole = measure(store, people=True)
    for order in (parts, parts[::-1]):
        merged = order[0]
        for part in order[1:]:
            merged = merged.merge(part)
        agree(merged, store, rows)
        np.testing.assert_allclose(merged.between_people(), whole.between_people(), atol=1e-9)


def test_processes_share_the_work(store: EmbeddingStore) -> None:
    shared = measure(store, processes=2)
    assert shared.total.count == len(training_rows(store))
    agree(shared, store, training_rows(store))


def test_between_and_within_people_add_up(store: EmbeddingStore) -> None:
    """Against the scatter matrices of linear discriminant analysis, one person after the other."""
    rows = training_rows(store)
    unit, people = unit_rows(store)[rows], [store.table.person_id[row] for row in rows]
    middle, between, within = unit.mean(axis=0), 0.0, 0.0
    for person in set(people):
        mine = unit[[p == person for p in people]]
        apart = mine.mean(axis=0) - middle
        between = between + len(mine) * np.outer(apart, apart) / len(unit)
        within = within + (mine - mine.mean(axis=0)).T @ (mine - mine.mean(axis=0)) / len(unit)
    found = measure(store, people=True)
    np.testing.assert_allclose(found.between_people(), between, atol=1e-8)
    np.testing.assert_allclose(found.total.covariance(), between + within, atol=1e-7)
    with pytest.raises(ValueError, match="not measured"):
        measure(store).between_people()


def test_within_modalities_is_the_covariance_after_each_mean_is_removed(store: EmbeddingStore) -> None:
    rows = training_rows(store)
    unit, modality = unit_rows(store)[rows], [store.table.modality[row] for row in rows]
    for which in Modality:
        unit[[m is which for m in modality]] -= unit[[m is which for m in modality]].mean(axis=0)
    np.testing.assert_allclose(measure(store).within_modalities(), unit.T @ unit / len(unit), atol=1e-7)


def test_nothing_to_measure_and_broken_rows_are_named(store: EmbeddingStore, monkeypatch) -> None:
    with pytest.raises(UserError, match="no samples to measure"):
        measure(store, np.empty(0, dtype=np.int64))
    real = pieces

    def broken(store, rows):
        for positions, embeddings in real(store, rows):
            yield positions, np.where(positions[:, None] == 5, np.float16(np.nan), embeddings)

    monkeypatch.setattr(measuring, "pieces", broken)
    with pytest.raises(UserError, match=store.table.sample_id[5]):
        measure(store)


def test_coordinates_of_a_store_are_those_of_its_embeddings(store: EmbeddingStore) -> None:
    rng = np.random.default_rng(1)
    space = Subspace(
        "principal", rng.standard_normal((4, store.dim)), np.eye(store.dim)[:, :5], np.ones(5), np.ones(store.dim)
    )
    expected = space.project(store.embeddings(), store.table.modality)
    np.testing.assert_array_equal(coordinates(store, space), expected)
    rows = rng.permutation(len(store))[:31]
    np.testing.assert_array_equal(coordinates(store, space, rows), expected[rows])
