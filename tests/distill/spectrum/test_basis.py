"""Bases: orthonormal, the same every time, with the promised variances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.spectrum.basis import between_basis, eigen, eigenvalues, fix_signs, phi_s, random_basis, spread


def covariance(dim: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((3 * dim, dim)) * np.arange(1, dim + 1) ** -0.8
    return x.T @ x / len(x)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.integers(0, 2**31))
def test_eigenvectors_rebuild_the_matrix_and_have_one_sign(dim: int, seed: int) -> None:
    matrix = covariance(dim, seed)
    values, vectors = eigen(matrix)
    np.testing.assert_allclose(vectors * values @ vectors.T, matrix, atol=1e-12)
    np.testing.assert_allclose(eigenvalues(matrix), values, atol=1e-12)
    assert (np.diff(values) <= 0).all()
    flips = np.random.default_rng(seed).choice([-1.0, 1.0], dim)
    np.testing.assert_array_equal(fix_signs(vectors * flips), vectors)
    for column in vectors.T:
        assert column[np.argmax(np.abs(column))] > 0


def test_a_drawn_basis_is_orthonormal_and_follows_its_seed() -> None:
    basis = random_basis(30, 7, 5)
    np.testing.assert_allclose(basis.T @ basis, np.eye(7), atol=1e-12)
    np.testing.assert_array_equal(basis, random_basis(30, 7, 5))
    assert not np.allclose(basis, random_basis(30, 7, 6))


def test_a_drawn_basis_favours_no_direction() -> None:
    """The mean of Q Q^T over the Haar measure is k / D times the identity."""
    mean = np.mean([(q := random_basis(4, 2, seed)) @ q.T for seed in range(2000)], axis=0)
    np.testing.assert_allclose(mean, np.eye(4) / 2, atol=0.03)


@pytest.mark.parametrize("dim", [1, 2, 4, 12, 20, 24, 28, 36, 48, 56, 64, 192, 384])
def test_entries_are_equal_where_a_hadamard_matrix_is_known(dim: int) -> None:
    matrix = spread(dim)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(dim), atol=1e-12)
    np.testing.assert_allclose(np.abs(matrix), 1 / np.sqrt(dim), atol=1e-15)


@pytest.mark.parametrize("dim", [3, 7, 10, 25, 50])
def test_other_widths_are_spread_about_equally(dim: int) -> None:
    matrix = spread(dim)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(dim), atol=1e-12)
    assert (matrix**2).max() <= 2 / dim + 1e-12


@pytest.mark.parametrize("dim", [768, 1152, 1536, 2048, 3584])
def test_widths_of_real_models_have_equal_entries(dim: int) -> None:
    assert np.ptp(np.abs(spread(dim))) < 1e-12


def test_phi_s_gives_every_output_variance_one_and_scales_all_alike() -> None:
    matrix = covariance(24, 3)
    values, vectors = eigen(matrix)
    made = phi_s(values, vectors)
    np.testing.assert_allclose(np.diag(made.T @ matrix @ made), 1, atol=1e-10)
    np.testing.assert_allclose(made.T @ made, np.eye(24) / values.mean(), atol=1e-8)


def test_beyond_the_people_come_directions_of_most_variance() -> None:
    rng = np.random.default_rng(0)
    people = rng.standard_normal((3, 8))
    between = np.cov(people.T, bias=True)
    total = covariance(8, 1) + between
    values, basis = between_basis(between, total)
    np.testing.assert_allclose(basis.T @ basis, np.eye(8), atol=1e-10)
    assert (values[:2] > 0).all()
    assert (values[2:] == 0).all()
    np.testing.assert_allclose(np.diag(basis.T @ between @ basis), values, atol=1e-12)
    left = np.diag(basis.T @ total @ basis)[2:]
    keep = basis[:, 2:] @ basis[:, 2:].T
    np.testing.assert_allclose(left, np.sort(np.linalg.eigvalsh(keep @ total @ keep))[::-1][:6], atol=1e-10)
