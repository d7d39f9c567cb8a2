"""Telling the person from the ground."""

from __future__ import annotations

import numpy as np
import pytest

from reid.derive.figure import body_prior, figure_mask


def scene(person: tuple[float, float, float], ground: tuple[float, float, float], left: int, right: int) -> np.ndarray:
    rgb = np.empty((128, 64, 3), dtype=np.float32)
    rgb[:] = ground
    rgb[10:122, left:right] = person
    return np.clip(rgb + np.random.default_rng(0).normal(0, 0.02, rgb.shape), 0, 1).astype(np.float32)


def test_a_person_of_another_colour_is_cut_out_at_the_edge():
    mask = figure_mask(scene((0.7, 0.2, 0.2), (0.3, 0.5, 0.3), 22, 42))
    assert mask.shape == (128, 64)
    assert mask[20:110, 24:40].mean() > 0.85
    assert mask[20:110, :18].mean() < 0.2
    assert mask[20:110, 46:].mean() < 0.2
    # The border of the mask lies on the border of the colours, within two pixels.
    assert mask[30:100, 23].mean() - mask[30:100, 19].mean() > 0.4


def test_colour_wins_over_place():
    """A person who stands off the middle is found by the colours that the middle has."""
    mask = figure_mask(scene((0.2, 0.2, 0.7), (0.6, 0.6, 0.5), 32, 58))
    prior = body_prior(128, 64)
    # Columns 10 to 15 and 48 to 53 lie equally far from the middle.
    assert prior[30:100, 48:54].mean() == pytest.approx(prior[30:100, 10:16].mean(), abs=0.01)
    assert mask[30:100, 48:54].mean() > mask[30:100, 10:16].mean() + 0.25


def test_without_a_difference_of_colour_the_prior_decides():
    mask = figure_mask(np.full((128, 64, 3), 0.5, dtype=np.float32))
    assert mask[40:90, 30:34].min() > 0.7
    assert mask[40:90, :4].max() < 0.3
    assert np.isfinite(mask).all()


def test_small_and_large_pictures_keep_their_size():
    for height, width in ((5, 3), (40, 20), (300, 100)):
        assert figure_mask(np.zeros((height, width, 3), dtype=np.float32)).shape == (height, width)


def test_the_silhouette_of_a_striding_person():
    """Legs apart, as the prior does not have them; correlation with the true silhouette."""
    y, x = np.mgrid[0:128, 0:64]
    trunk = (np.abs(x - 32) < 10) & (y < 70)
    legs = (np.abs(np.abs(x - 32) - (y - 70) * 0.35) < 5) & (y >= 70)
    noise = np.random.default_rng(0).normal(0, 0.03, (128, 64, 3))
    rgb = np.where((trunk | legs)[..., None], (0.2, 0.2, 0.35), (0.55, 0.5, 0.45)) + noise
    mask = figure_mask(np.clip(rgb, 0, 1).astype(np.float32))
    found = np.corrcoef(mask.ravel(), (trunk | legs).ravel())[0, 1]
    assert found > 0.785
    assert found > np.corrcoef(body_prior(128, 64).ravel(), (trunk | legs).ravel())[0, 1] + 0.15
