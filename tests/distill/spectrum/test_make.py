"""From a store to its subspace: the basis, the centre, the rank and why."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA
from spectrum_stores import DIM, make_store, unit_rows

from distill.settings import Spectrum
from distill.spectrum.ceiling import validators
from distill.spectrum.make import make_subspace
from reid.embeddings import EmbeddingStore
from reid.errors import UserError
from reid.evaluation import evaluate
from reid.modality import Modality
from reid.protocol import Drop, cross_modal
from reid.sample import Split

BASES = ("principal", "between", "random", "full", "phi-s")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingStore:
    return make_store(tmp_path_factory.mktemp("stores") / "s")


def at_full_rank(basis: str, centre: str) -> Spectrum:
    return Spectrum(rank="auto" if basis in ("full", "phi-s") else DIM, basis=basis, centre=centre)


def test_principal_is_the_pca_of_scikit_learn(store: EmbeddingStore) -> None:
    unit = unit_rows(store, Split.TRAIN)
    pca = PCA(6, svd_solver="full").fit(unit)
    space, analysis = make_subspace(store, Spectrum(rank=6))
    assert (space.rank, analysis.rank, analysis.reason) == (6, 6, "as asked")
    found, expected = space.project(store.embeddings()), pca.transform(unit_rows(store))
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-5)
    share = 1 - 1 / len(unit)
    np.testing.assert_allclose(space.variances, pca.explained_variance_ * share, rtol=1e-5)
    assert analysis.energy == pytest.approx(pca.explained_variance_ratio_.sum(), rel=1e-5)
    assert space.teacher == store.manifest.sha256


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("centre", ["shared", "modality", "none"])
def test_variances_are_those_of_the_coordinates(store: EmbeddingStore, basis: str, centre: str) -> None:
    space, _ = make_subspace(store, at_full_rank(basis, centre))
    train = np.flatnonzero([split is Split.TRAIN for split in store.table.split])
    z = space.project(store.embeddings(train), [store.table.modality[row] for row in train]).astype(np.float64)
    np.testing.assert_allclose(space.variances, (z**2).mean(axis=0), rtol=1e-4, atol=1e-8)
    assert space.by_modality == (centre == "modality")
    if centre != "none":
        np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-6)
    if basis == "phi-s":
        np.testing.assert_allclose(space.variances, 1, rtol=1e-6)
    else:
        np.testing.assert_allclose(space.basis.T @ space.basis, np.eye(DIM), atol=1e-9)


@pytest.mark.parametrize("basis", BASES)
def test_full_rank_without_a_centre_keeps_the_cosines(store: EmbeddingStore, basis: str) -> None:
    space, analysis = make_subspace(store, at_full_rank(basis, "none"))
    z = space.project(store.embeddings()).astype(np.float64)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    unit = unit_rows(store)
    np.testing.assert_allclose(z @ z.T, unit @ unit.T, atol=1e-5)
    assert analysis.ceiling is not None
    for query, whole in analysis.ceiling.full.items():
        assert analysis.ceiling.curve[DIM][query] == pytest.approx(whole, abs=1e-2)


def test_between_finds_where_people_differ_and_not_where_samples_do(tmp_path: Path) -> None:
    """Noise of large variance in one direction that says nothing of who it is."""
    opened = make_store(tmp_path / "s", blur=3)
    principal, _ = make_subspace(opened, Spectrum(rank=1))
    between, _ = make_subspace(opened, Spectrum(rank=1, basis="between"))
    assert abs(principal.basis[-1, 0]) > 0.9
    assert abs(between.basis[-1, 0]) < 0.3


def test_the_same_store_gives_the_same_signs(store: EmbeddingStore) -> None:
    """Also where the rows come in another order, which rounds differently."""
    rows = np.flatnonzero([split is Split.TRAIN for split in store.table.split])
    one, _ = make_subspace(store, Spectrum(rank=8))
    other, _ = make_subspace(store, Spectrum(rank=8), rows=rows[::-1])
    np.testing.assert_allclose(one.basis, other.basis, atol=1e-4)
    largest = np.abs(one.basis).argmax(axis=0)
    assert (one.basis[largest, range(8)] > 0).all()


def test_rank_by_energy_is_rounded_up_and_bounded(store: EmbeddingStore) -> None:
    values = np.sort(np.linalg.eigvalsh(np.cov(unit_rows(store, Split.TRAIN).T, bias=True)))[::-1]
    needed = next(k for k in range(1, DIM + 1) if values[:k].sum() >= 0.9 * values.sum())
    space, analysis = make_subspace(store, Spectrum(rank="energy:0.9", min_rank=1, multiple=4))
    assert space.rank == -(-needed // 4) * 4
    assert analysis.reason.startswith(f"{needed} hold 90 % of the variance")
    assert make_subspace(store, Spectrum(rank="energy:0.9", min_rank=20, multiple=4))[0].rank == 20
    assert make_subspace(store, Spectrum(rank="energy:0.9", min_rank=1, max_rank=3))[0].rank == 3


def test_auto_keeps_what_the_teacher_retrieves(store: EmbeddingStore) -> None:
    """Against every multiple, scored one by one with protocols written out here."""
    settings = Spectrum(min_rank=2, multiple=2, centre="none", tolerance=1.0)
    space, analysis = make_subspace(store, settings)
    z = make_subspace(store, Spectrum(rank=DIM, centre="none"))[0].project(store.embeddings())

    def score(embeddings: np.ndarray) -> float:
        scores = []
        for query in Modality:
            drop = Drop.SAME_CAMERA if query is Modality.RGB else Drop.SAME_SOURCE
            splits = {"query_splits": (Split.VAL,), "gallery_splits": (Split.VAL,), "drop": drop}
            rule = cross_modal("by hand", query, Modality.RGB, **splits)
            scores.append(100 * evaluate(rule, store.table, embeddings).mean_ap)
        return float(np.mean(scores))

    full = score(store.embeddings())
    curve = {k: score(z[:, :k]) for k in range(2, DIM + 1, 2)}
    found = analysis.ceiling
    assert found is not None
    assert found.mean() == pytest.approx(full, abs=1e-6)
    for k, expected in curve.items():
        if k in found.curve:
            assert found.mean(k) == pytest.approx(expected, abs=1e-6)
    assert space.rank == found.kept
    assert all(curve[k] >= full - 1.0 for k in found.curve if k >= space.rank and k in curve)
    assert space.rank == 2 or curve[space.rank - 2] < full - 1.0
    assert found.queries == dict.fromkeys(Modality, 30)


def test_where_no_rank_keeps_the_teacher_the_nearest_is_taken(store: EmbeddingStore) -> None:
    space, analysis = make_subspace(store, Spectrum(min_rank=1, max_rank=3, multiple=1, tolerance=0))
    assert analysis.ceiling is not None
    assert analysis.ceiling.kept is None
    assert "none keeps the teacher's mAP" in analysis.reason
    assert analysis.ceiling.mean(space.rank) == max(analysis.ceiling.mean(k) for k in (2, 3))


def test_without_validation_people_the_rank_is_by_variance_and_said(tmp_path: Path) -> None:
    made = make_store(tmp_path / "s", {Split.TRAIN: 10})
    assert validators(made) is None
    _, analysis = make_subspace(made, Spectrum())
    assert analysis.ceiling is None
    assert "hold 95 % of the variance" in analysis.reason
    assert len(analysis.warnings) == 1
    assert "no validation people" in analysis.warnings[0]


def test_a_store_of_one_modality_warns_what_is_lost(tmp_path: Path, store: EmbeddingStore) -> None:
    made = make_store(tmp_path / "s", modalities=[Modality.IR])
    space, analysis = make_subspace(made, Spectrum(centre="modality"))
    assert len(analysis.warnings) == 1
    assert "ir only: the subspace is blind to what tells people apart in rgb, sketch, text" in analysis.warnings[0]
    assert analysis.ceiling is not None
    assert analysis.ceiling.gallery is Modality.IR
    for row in space.mean[1:]:
        np.testing.assert_array_equal(row, space.mean[0])
    assert make_subspace(store, Spectrum())[1].warnings == []


@pytest.mark.parametrize(
    ("people", "settings", "message"),
    [
        ({Split.TRAIN: 20}, {"rank": 25}, "rank 25: the embeddings of .* have 24 dimensions; ask for fewer"),
        ({Split.TRAIN: 1}, {"rank": 13}, "rank 13: .* has 12 samples to measure, and they span no more"),
    ],
)
def test_an_impossible_rank_is_refused_in_one_line(tmp_path: Path, people, settings, message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        make_subspace(make_store(tmp_path / "s", people), Spectrum(**settings))
    assert "\n" not in str(raised.value)


def test_fewer_samples_than_the_lower_bound_still_give_a_rank(tmp_path: Path) -> None:
    made = make_store(tmp_path / "s", {Split.TRAIN: 1}, [Modality.RGB, Modality.IR])
    assert make_subspace(made, Spectrum())[0].rank == 6


def test_whole_bases_ignore_the_bounds(store: EmbeddingStore) -> None:
    for basis in ("full", "phi-s"):
        space, analysis = make_subspace(store, Spectrum(basis=basis, max_rank=8))
        assert space.rank == DIM
        assert analysis.ceiling is not None
        assert list(analysis.ceiling.curve) == [DIM]


def test_an_analysis_is_json(store: EmbeddingStore) -> None:
    _, analysis = make_subspace(store, Spectrum())
    raw = json.loads(json.dumps(analysis.to_dict(), allow_nan=False))
    assert raw["rank"] == analysis.rank
    assert raw["ceiling"]["curve"][str(analysis.rank)]["mean"] == analysis.ceiling.mean(analysis.rank)
    assert set(raw["modalities"]) == {"rgb", "ir", "sketch", "text"}
