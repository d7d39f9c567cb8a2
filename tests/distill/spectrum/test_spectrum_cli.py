"""`distill spectrum` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from spectrum_stores import make_store

from reid.artifact import check_files, read_manifest
from reid.embeddings import EmbeddingStore
from reid.modality import Modality
from reid.sample import Split
from reid.subspace import FILE, Subspace


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingStore:
    return make_store(tmp_path_factory.mktemp("stores") / "s")


def test_the_command_writes_subspace_figures_and_pictures(reid, tmp_path: Path, store: EmbeddingStore) -> None:
    out = tmp_path / "spectrum"
    done = reid("distill", "spectrum", store.path, "--out", out, "--rank", "16")
    assert (done.code, done.err) == (0, "")
    assert "rank 16: as asked" in done.out
    assert "asking for rgb" in done.out
    assert Subspace.load(out / FILE).rank == 16
    raw = json.loads((out / "spectrum.json").read_text())
    assert raw["rank"] == 16
    assert f"{raw['effective_rank']:.1f}" in done.out
    assert f"{raw['ceiling']['curve']['16']['mean']:.2f}" in done.out
    for name in ("energy", "spectrum", "ceiling"):
        picture = np.asarray(Image.open(out / f"{name}.png").convert("L"))
        assert picture.shape[1] > 500
        assert picture.std() > 5
    manifest = read_manifest(out)
    assert check_files(out, manifest) == []
    assert manifest.parents[0].manifest_sha256 == store.manifest.sha256
    assert manifest.writer["settings"]["rank"] == 16


def test_without_validation_people_there_is_no_ceiling_to_draw(reid, tmp_path: Path) -> None:
    made = make_store(tmp_path / "s", {Split.TRAIN: 6}, [Modality.RGB])
    done = reid("distill", "spectrum", made.path, "--out", tmp_path / "o", "--basis", "between", "--centre", "none")
    assert done.code == 0
    assert done.err.count("warning: ") == 2
    assert not (tmp_path / "o" / "ceiling.png").exists()
    assert (tmp_path / "o" / "energy.png").exists()


def test_a_folder_is_replaced_only_when_asked_and_only_if_it_is_a_spectrum(reid, tmp_path: Path, store) -> None:
    out = tmp_path / "o"
    words = ("distill", "spectrum", store.path, "--out", out)
    assert reid(*words, "--rank", "8").code == 0
    refused = reid(*words, "--rank", "16")
    assert (refused.code, refused.out) == (2, "")
    assert "already exists; choose another name, or --overwrite it" in refused.err
    assert Subspace.load(out / FILE).rank == 8
    assert reid(*words, "--rank", "16", "--overwrite").code == 0
    assert Subspace.load(out / FILE).rank == 16
    foreign = tmp_path / "mine"
    foreign.mkdir()
    (foreign / "letter.txt").write_text("dear")
    refused = reid("distill", "spectrum", store.path, "--out", foreign, "--overwrite")
    assert refused.code == 2
    assert "is not a spectrum, so it is not overwritten" in refused.err
    assert (foreign / "letter.txt").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--rank", "many"), "auto"),
        (("--rank", "25"), "have 24 dimensions"),
        (("--rank", "8", "--basis", "full"), "leave rank at auto"),
        (("--rank", "energy:2"), "energy:0.95"),
        (("--basis", "principle"), "principal"),
        (("--centre", "middle"), "shared"),
    ],
)
def test_errors_are_one_line(reid, tmp_path: Path, store: EmbeddingStore, words: tuple[str, ...], message: str) -> None:
    done = reid("distill", "spectrum", store.path, "--out", tmp_path / "o", *words)
    assert done.code == 2
    assert message in done.err.splitlines()[0]
    assert done.err.startswith("error: ")
    assert not (tmp_path / "o").exists()


def test_what_is_not_a_store_is_refused(reid, tmp_path: Path) -> None:
    done = reid("distill", "spectrum", tmp_path, "--out", tmp_path / "o")
    assert done.code == 2
    assert "expected an artifact" in done.err
