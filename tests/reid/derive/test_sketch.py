"""What a sketch must be: dark lines on white paper, where the edges are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from reid.derive.sketch import HANDS, Hand, sketch


def disk(inside: tuple[int, int, int], outside: tuple[int, int, int], noise: float = 0.0) -> np.ndarray:
    y, x = np.mgrid[0:128, 0:64]
    within = np.hypot(y - 62, x - 32) < 18
    rgb = np.where(within[..., None], inside, outside) + np.random.default_rng(1).normal(0, noise, (128, 64, 3))
    return np.clip(rgb, 0, 255).astype(np.uint8)


def bands(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels on the disk's rim, well inside it and well outside it."""
    y, x = np.mgrid[0:128, 0:64]
    radius = np.hypot(y - 62, x - 32)
    return picture[np.abs(radius - 18) < 2.5], picture[radius < 12], picture[radius > 25]


PHOTO = disk((90, 40, 40), (180, 190, 170), noise=6)


@pytest.mark.parametrize("style", HANDS)
def test_equal_inputs_give_equal_sketches_and_the_seed_matters(style):
    first = sketch(PHOTO, style=style, seed=3)
    assert first.dtype == np.uint8
    assert first.shape == (128, 64)
    np.testing.assert_array_equal(first, sketch(PHOTO.copy(), style=style, seed=3))
    assert (first != sketch(PHOTO, style=style, seed=4)).any()


@pytest.mark.parametrize("style", HANDS)
def test_lines_are_dark_on_white_paper_and_lie_on_edges(style):
    drawn = np.mean([sketch(PHOTO, style=style, seed=seed) for seed in range(6)], axis=0)
    rim, _, outside = bands(drawn)
    assert np.median(outside) > 250
    assert rim.mean() < outside.mean() - 30


@pytest.mark.parametrize("style", ["liner", "marker"])
def test_hands_without_shading_leave_the_inside_white(style):
    _, inside, _ = bands(np.mean([sketch(PHOTO, style=style, seed=seed) for seed in range(4)], axis=0))
    assert np.median(inside) > 250


@pytest.mark.parametrize("style", ["pencil", "charcoal", "scribble"])
def test_hands_with_shading_show_what_is_dark(style):
    dark = sketch(disk((30, 30, 30), (200, 200, 200)), style=style, seed=0)
    light = sketch(disk((150, 150, 150), (200, 200, 200)), style=style, seed=0)
    assert bands(dark)[1].mean() < bands(light)[1].mean() - 20


def test_ink_fills_black_places_only():
    assert bands(sketch(disk((10, 10, 10), (200, 200, 200)), style="ink"))[1].max() < 60
    assert bands(sketch(disk((120, 120, 120), (200, 200, 200)), style="ink"))[1].min() > 200


def test_an_edge_of_colour_without_an_edge_of_luma_is_drawn():
    red, green = (200, 60, 60), (20, 146, 80)
    luma = np.array([0.299, 0.587, 0.114])
    assert abs(luma @ red - luma @ green) < 5
    rim, inside, _ = bands(np.mean([sketch(disk(red, green), style="liner", seed=s) for s in range(4)], axis=0))
    assert rim.mean() < inside.mean() - 30


def test_strokes_bridge_gaps_along_the_edge():
    """A dark line that is faint for one row is drawn through: strokes follow the flow of edges."""
    photo = np.full((128, 64, 3), 200, dtype=np.uint8)
    photo[15:115, 30:33] = 60
    photo[60, 30:33] = 170
    drawn = 255 - np.mean([sketch(photo, style="marker", seed=s) for s in range(4)], axis=0)
    assert drawn[60, 28:35].max() > 0.8 * drawn[30:50, 28:35].max(axis=1).mean()


def test_a_shaky_wrist_bends_straight_lines(monkeypatch):
    photo = np.full((128, 64, 3), 220, dtype=np.uint8)
    photo[:, 32:] = 60

    def spread(wobble: float) -> float:
        monkeypatch.setitem(HANDS, "test", Hand(wobble=wobble, omission=0))
        ink = 255.0 - sketch(photo, style="test", seed=1)[30:100]
        return float((ink @ np.arange(64) / ink.sum(axis=1)).std())

    assert spread(0) < 0.2
    assert spread(1.5) > 0.5


def test_omissions_leave_out_about_their_share(monkeypatch):
    def ink(omission: float) -> float:
        monkeypatch.setitem(HANDS, "test", Hand(omission=omission))
        return sum(255.0 - bands(sketch(PHOTO, style="test", seed=s))[0].mean() for s in range(12))

    assert 0.5 < ink(0.3) / ink(0) < 0.9


@pytest.mark.parametrize("style", ["liner", "marker"])
def test_noise_stays_off_the_paper(style):
    flat = np.clip(np.random.default_rng(0).normal(128, 3, (128, 64, 3)), 0, 255).astype(np.uint8)
    assert sketch(flat, style=style).mean() > 248


def test_the_hands_differ_visibly():
    photo = disk((24, 20, 20), (180, 190, 170), noise=6)
    sketches = {style: sketch(photo, style=style, seed=0).astype(float) for style in HANDS}
    for one, other in itertools.combinations(HANDS, 2):
        assert np.abs(sketches[one] - sketches[other]).mean() > 1.5, (one, other)


@pytest.mark.parametrize("size", [(5, 3), (17, 40), (128, 48), (600, 250)])
def test_any_size_is_kept(size):
    rgb = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    assert sketch(rgb, style="pencil").shape == size


def test_a_large_photograph_gets_the_lines_of_a_small_one():
    """Line width follows the person, not the pixel: enlarged threefold, about as much of the paper is covered."""
    large = np.kron(disk((90, 40, 40), (180, 190, 170)), np.ones((4, 4, 1), dtype=np.uint8))
    small = np.mean([sketch(disk((90, 40, 40), (180, 190, 170)), style="marker", seed=s) for s in range(4)])
    assert np.mean([sketch(large, style="marker", seed=s) for s in range(4)]) == pytest.approx(small, abs=8)


def test_an_unknown_style_is_refused():
    with pytest.raises(KeyError):
        sketch(PHOTO, style="watercolour")
