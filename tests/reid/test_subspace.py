"""The projection against a loop, and the file against what was saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from distill.spectrum.basis import random_basis
from reid.errors import UserError
from reid.modality import Modality
from reid.subspace import FILE, Subspace

DIM, K = 7, 3


def subspace(means: int = 1, **changes) -> Subspace:
    rng = np.random.default_rng(0)
    fields = {
        "kind": "principal",
        "mean": 0.1 * rng.standard_normal((means, DIM)),
        "basis": random_basis(DIM, K, 1),
        "variances": np.array([3.0, 2.0, 1.0]),
        "spectrum": np.arange(DIM, 0, -1.0),
        "teacher": "abc",
    }
    return Subspace(**{**fields, **changes})


def embeddings(n: int, dtype: str = "float32") -> np.ndarray:
    return (5 * np.random.default_rng(2).standard_normal((n, DIM)) + 1).astype(dtype)


def looped(space: Subspace, rows: np.ndarray, codes: list[int]) -> list[list[float]]:
    """What `project` says, one number at a time."""
    out = []
    for row, code in zip(rows.astype(np.float64).tolist(), codes, strict=True):
        if space.normalise == "layer_norm":
            middle = sum(row) / DIM
            deviation = (sum((v - middle) ** 2 for v in row) / DIM) ** 0.5
            row = [(v - middle) / deviation for v in row]
        else:
            length = sum(v * v for v in row) ** 0.5
            row = [v / length for v in row]
        centred = [v - space.mean[code, i] for i, v in enumerate(row)]
        out.append([sum(c * space.basis[i, j] for i, c in enumerate(centred)) for j in range(space.rank)])
    return out


@pytest.mark.parametrize("normalise", ["unit", "layer_norm"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_projection_is_what_a_loop_computes(dtype: str, normalise: str) -> None:
    space, rows = subspace(normalise=normalise), embeddings(9, dtype)
    found = space.project(rows)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, looped(space, rows, [0] * 9), atol=2e-6)


def test_each_modality_is_centred_by_its_own_mean() -> None:
    space, rows = subspace(means=4), embeddings(6)
    modalities = [Modality.TEXT, Modality.RGB, Modality.SKETCH, Modality.IR, Modality.RGB, Modality.TEXT]
    np.testing.assert_allclose(space.project(rows, modalities), looped(space, rows, [3, 0, 2, 1, 0, 3]), atol=1e-6)
    with pytest.raises(ValueError, match="expected 6 modalities, got none"):
        space.project(rows)
    with pytest.raises(ValueError, match="expected 6 modalities, got 2"):
        space.project(rows, modalities[:2])


def test_more_rows_than_a_block_and_none(monkeypatch: pytest.MonkeyPatch) -> None:
    space, rows = subspace(), embeddings(10)
    whole = space.project(rows)
    monkeypatch.setattr("reid.subspace._BLOCK_ROWS", 3)
    np.testing.assert_allclose(space.project(rows), whole, atol=1e-6)
    assert space.project(rows[:0]).shape == (0, K)


def test_full_rank_without_a_centre_keeps_every_cosine() -> None:
    rows = embeddings(12, "float64")
    space = subspace(mean=np.zeros((1, DIM)), basis=random_basis(DIM, DIM, 4), variances=np.ones(DIM))
    z = space.project(rows).astype(np.float64)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(z @ z.T, unit @ unit.T, atol=1e-6)


def test_a_prefix_is_the_projection_to_fewer() -> None:
    space, rows = subspace(), embeddings(5)
    shorter = space.truncated(2)
    np.testing.assert_array_equal(shorter.variances, space.variances[:2])
    np.testing.assert_allclose(shorter.project(rows), space.project(rows)[:, :2], atol=1e-6)
    with pytest.raises(ValueError, match="cannot keep 4 of 3"):
        space.truncated(4)


@pytest.mark.parametrize("means", [1, 4])
def test_a_file_gives_back_what_was_saved(tmp_path: Path, means: int) -> None:
    space = subspace(means=means, kind="between", normalise="layer_norm")
    space.save(tmp_path / FILE)
    read = Subspace.load(tmp_path / FILE)
    for name in ("mean", "basis", "variances", "spectrum"):
        np.testing.assert_array_equal(getattr(read, name), getattr(space, name))
        assert getattr(read, name).dtype == np.float64
    assert (read.kind, read.normalise, read.teacher) == ("between", "layer_norm", "abc")
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_truncated_basis_is_saved_in_the_right_order(tmp_path: Path) -> None:
    """A slice of columns is not contiguous in memory; safetensors writes bytes."""
    space = subspace().truncated(2)
    space.save(tmp_path / FILE)
    np.testing.assert_array_equal(Subspace.load(tmp_path / FILE).basis, space.basis)


def test_foreign_files_are_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / FILE
    with pytest.raises(UserError, match="no such file; expected a subspace"):
        Subspace.load(path)
    path.write_bytes(b"not safetensors")
    with pytest.raises(UserError, match="not readable as safetensors"):
        Subspace.load(path)
    save_file({"weight": np.zeros(3)}, path)
    with pytest.raises(UserError, match=r'not a subspace of this version; found tensors \["weight"\]'):
        Subspace.load(path)
    subspace().save(path)
    with safe_open(path, framework="numpy") as file:
        about = file.metadata()
    arrays = load_file(path)
    for changed, message in (
        ({"variances": np.ones(5)}, "variances has shape"),
        ({"mean": np.ones((2, DIM))}, "expected 1 or 4 rows"),
        ({"spectrum": np.full(DIM, np.nan)}, "NaN or infinite"),
    ):
        save_file({**arrays, **changed}, path, metadata=about)
        with pytest.raises(UserError, match=message):
            Subspace.load(path)
    for word, other, message in (
        ("principal", "diagonal", "kind 'diagonal'"),
        ("subspace 1", "subspace 9", "found reid-distill subspace 9, expected 'reid-distill subspace 1'"),
    ):
        save_file(arrays, path, metadata={key: text.replace(word, other) for key, text in about.items()})
        with pytest.raises(UserError, match=message):
            Subspace.load(path)


def test_equal_subspaces_give_equal_files(tmp_path: Path) -> None:
    for name in ("one", "other"):
        subspace().save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_another_teachers_embeddings_are_refused() -> None:
    with pytest.raises(UserError, match="made from another teacher"):
        subspace().project(np.ones((2, DIM + 1)))
    with pytest.raises(UserError, match="NaN, infinite or zero: row 1"):
        subspace().project(np.array([np.ones(DIM), np.zeros(DIM)]))
