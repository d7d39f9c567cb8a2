"""Moments of a stream against numpy and scikit-learn, however it is cut and merged."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from distill.spectrum.basis import eigen
from distill.spectrum.moments import Moments


def stream(n: int, dim: int, seed: int, offset: float = 3.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, dim)) * rng.uniform(0.1, 2, dim) + offset * rng.standard_normal(dim)


def chunked(x: np.ndarray, cuts: list[int]) -> list[np.ndarray]:
    return np.split(x, sorted(cut % (len(x) + 1) for cut in cuts))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(1, 12), st.lists(st.integers(0, 1000), max_size=6), st.integers(0, 2**31))
def test_covariance_is_that_of_numpy_however_the_stream_is_cut(n: int, dim: int, cuts: list[int], seed: int) -> None:
    x = stream(n, dim, seed)
    moments = Moments.empty(dim)
    for chunk in chunked(x, cuts):
        moments.update(chunk)
    assert moments.count == n
    np.testing.assert_allclose(moments.mean, x.mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(moments.covariance(), np.cov(x.T, bias=True).reshape(dim, dim), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(moments.second_moment(), x.T @ x / n, rtol=1e-10, atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 60), st.integers(1, 8), st.lists(st.integers(0, 1000), min_size=1, max_size=6), st.randoms())
def test_the_order_of_merges_does_not_matter(n: int, dim: int, cuts: list[int], random) -> None:
    x = stream(n, dim, random.randrange(2**31))
    parts = []
    for chunk in chunked(x, cuts):
        parts.append(Moments.empty(dim))
        parts[-1].update(chunk)
    random.shuffle(parts)
    while len(parts) > 1:
        one, other = parts.pop(random.randrange(len(parts))), parts.pop(random.randrange(len(parts)))
        one.merge(other)
        parts.append(one)
    assert parts[0].count == n
    np.testing.assert_allclose(parts[0].mean, x.mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(parts[0].scatter, n * np.cov(x.T, bias=True).reshape(dim, dim), rtol=1e-9, atol=1e-9)


def test_eigenvalues_are_those_of_scikit_learn() -> None:
    x = stream(200, 10, 1)
    moments = Moments.empty(10)
    for chunk in np.array_split(x, 7):
        moments.update(chunk)
    values, vectors = eigen(moments.covariance())
    pca = PCA(svd_solver="full").fit(x)
    np.testing.assert_allclose(values * 200 / 199, pca.explained_variance_, rtol=1e-10)
    np.testing.assert_allclose(np.abs(np.sum(vectors * pca.components_.T, axis=0)), 1, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_float32_products_lose_less_than_a_millionth(seed: int) -> None:
    """The accuracy that the docstring promises, where most of the energy lies in the mean, and chunks differ."""
    rng = np.random.default_rng(seed)
    rows = np.arange(1, 65) ** -1.0 * rng.standard_normal((12_000, 64)) + 2 * rng.standard_normal(64)
    rows[6000:] += 0.3 * rng.standard_normal(64)
    x = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    moments = Moments.empty(64)
    for chunk in np.array_split(x, 3):
        moments.update(chunk)
    exact = np.cov(x.astype(np.float64).T, bias=True)
    assert np.abs(moments.covariance() - exact).max() < 1e-6 * np.abs(exact).max()
    assert np.abs(moments.mean - x.astype(np.float64).mean(axis=0)).max() < 1e-8
    np.testing.assert_allclose(eigen(moments.covariance())[0], eigen(exact)[0], atol=1e-6 * eigen(exact)[0][0])


def test_a_mean_far_from_zero_does_not_cancel() -> None:
    x = stream(500, 6, 2) + 1e6
    moments = Moments.empty(6)
    for chunk in np.array_split(x, 9):
        moments.update(chunk)
    np.testing.assert_allclose(moments.covariance(), np.cov(x.T, bias=True), rtol=1e-7)


def test_vectors_are_changed_only_if_they_may_be() -> None:
    x = stream(20, 4, 3).astype(np.float32)
    before = x.copy()
    Moments.empty(4).update(x)
    np.testing.assert_array_equal(x, before)
    Moments.empty(4).update(x, overwrite=True)
    assert not np.array_equal(x, before)
