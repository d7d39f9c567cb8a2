"""Filters against literal loops over pixels."""

from __future__ import annotations

import numpy as np
import pytest

from reid.derive.filters import box, denoise, gaussian, gradient, guided, opponent, smooth_noise, smoothstep

RNG = np.random.default_rng(5)
PLANE = RNG.random((13, 9)).astype(np.float32)


def window_mean(plane: np.ndarray, radius: int) -> np.ndarray:
    padded = np.pad(plane.astype(np.float64), radius, mode="edge")
    out = np.empty(plane.shape)
    for y in range(plane.shape[0]):
        for x in range(plane.shape[1]):
            out[y, x] = padded[y : y + 2 * radius + 1, x : x + 2 * radius + 1].mean()
    return out


def test_gaussian_is_the_convolution_with_the_truncated_bell():
    sigma, radius = 1.1, 4
    bell = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = np.outer(bell, bell) / bell.sum() ** 2
    padded = np.pad(PLANE.astype(np.float64), radius, mode="edge")
    expected = np.array(
        [[(padded[y : y + 9, x : x + 9] * kernel).sum() for x in range(PLANE.shape[1])] for y in range(PLANE.shape[0])]
    )
    np.testing.assert_allclose(gaussian(PLANE, sigma), expected, atol=1e-6)


def test_gaussian_works_on_stacks_and_keeps_constants():
    stack = np.stack([PLANE, PLANE[::-1].copy()])
    np.testing.assert_allclose(gaussian(stack, 0.8)[1], gaussian(PLANE[::-1].copy(), 0.8), atol=1e-6)
    np.testing.assert_allclose(gaussian(np.full((5, 4), 0.3, np.float32), 2.5), 0.3, atol=1e-6)


@pytest.mark.parametrize("radius", [1, 3])
def test_box_is_the_window_mean(radius):
    np.testing.assert_allclose(box(PLANE, radius), window_mean(PLANE, radius), atol=1e-6)


def test_guided_filter_is_the_published_formula():
    radius, eps = 2, 0.01
    guide, plane = PLANE, RNG.random(PLANE.shape).astype(np.float32)
    mean_guide, mean_plane = window_mean(guide, radius), window_mean(plane, radius)
    slope = (window_mean(guide * plane, radius) - mean_guide * mean_plane) / (
        window_mean(guide * guide, radius) - mean_guide**2 + eps
    )
    offset = mean_plane - slope * mean_guide
    expected = window_mean(slope, radius) * guide + window_mean(offset, radius)
    np.testing.assert_allclose(guided(guide, plane, radius, eps), expected, atol=1e-4)


def test_guided_filter_removes_noise_and_keeps_the_edge():
    step = np.where(np.arange(40) < 20, 0.2, 0.8).astype(np.float32)[None, :].repeat(30, axis=0)
    noisy = step + RNG.normal(0, 0.02, step.shape).astype(np.float32)
    clean = guided(noisy, noisy, 3, 0.03**2 * 4)
    assert clean[:, :15].std() < 0.4 * noisy[:, :15].std()
    np.testing.assert_allclose(denoise(noisy[None], 3, 0.03**2 * 4)[0], clean, atol=1e-4)
    assert (clean[:, 20] - clean[:, 19]).mean() > 0.9 * 0.6


def test_gradient_of_a_ramp_is_its_slope():
    y, x = np.mgrid[0:8, 0:9].astype(np.float32)
    gx, gy = gradient(0.3 * x - 0.2 * y)
    np.testing.assert_allclose(gx[1:-1, 1:-1], 0.3, atol=1e-5)
    np.testing.assert_allclose(gy[1:-1, 1:-1], -0.2, atol=1e-5)


def test_opponent_colours_of_grey_are_zero_and_luma_is_bt601():
    rgb = np.array([[[0.5, 0.5, 0.5], [1, 0, 0]]], dtype=np.float32)
    luma, red, blue = opponent(rgb)
    np.testing.assert_allclose(luma, [[0.5, 0.299]], atol=1e-6)
    np.testing.assert_allclose(red, [[0, 0.701]], atol=1e-6)
    np.testing.assert_allclose(blue, [[0, -0.299]], atol=1e-6)


def test_smoothstep_rises_and_falls():
    values = np.array([[0.0, 0.2, 0.3, 0.4, 1.0]], dtype=np.float32)
    np.testing.assert_allclose(smoothstep(values, 0.2, 0.4), [[0, 0, 0.5, 1, 1]], atol=1e-6)
    np.testing.assert_allclose(smoothstep(values, 0.4, 0.2), [[1, 1, 0.5, 0, 0]], atol=1e-6)


def test_smooth_noise_has_unit_size_and_changes_slowly():
    field = smooth_noise(np.random.default_rng(0), 200, 150, 8)
    assert field.shape == (200, 150)
    assert 0.7 < field.std() < 1.3
    assert np.abs(np.diff(field, axis=0)).mean() < 0.25 * field.std()
