"""What an infrared view must be: materials change their brightness, texture and shape stay."""

from __future__ import annotations

import numpy as np
import pytest

from reid.derive.filters import gaussian, opponent
from reid.derive.infrared import SENSORS, Sensor, infrared, reflectance, skin_likeness

LUMA = np.array([0.299, 0.587, 0.114])
NEAR_INFRARED = ["active", "daylight", "lowlight"]


def patches(colours: np.ndarray) -> np.ndarray:
    """A picture of 8 x 4 patches of 16 pixels with these colours."""
    return np.kron(colours.reshape(8, 4, 3), np.ones((16, 16, 1))).astype(np.uint8)


def patch_means(picture: np.ndarray) -> np.ndarray:
    return picture.reshape(8, 16, 4, 16)[:, 4:12, :, 4:12].mean(axis=(1, 3)).ravel()


COLOURS = np.random.default_rng(0).integers(20, 235, (32, 3))
MONDRIAN = patches(COLOURS)


@pytest.mark.parametrize("style", SENSORS)
def test_equal_inputs_give_equal_views_and_the_seed_matters(style):
    first = infrared(MONDRIAN, style=style, seed=3)
    assert first.dtype == np.uint8
    assert first.shape == (128, 64)
    np.testing.assert_array_equal(first, infrared(MONDRIAN.copy(), style=style, seed=3))
    assert (first != infrared(MONDRIAN, style=style, seed=4)).any()


@pytest.mark.parametrize("style", NEAR_INFRARED)
def test_brightness_does_not_follow_from_luma(style):
    """Grey conversion correlates with luma to 1; a random material must not, though it is not independent of it."""
    luma = COLOURS @ LUMA
    correlations = [np.corrcoef(luma, patch_means(infrared(MONDRIAN, style=style, seed=s)))[0, 1] for s in range(20)]
    assert np.mean(np.abs(correlations)) < 0.8


def test_two_colours_of_one_luma_can_differ_and_one_colour_cannot():
    red, blue = np.array([190, 40, 60]), np.array([60, 83, 164])
    assert abs(LUMA @ red - LUMA @ blue) < 2
    # The middle columns, where a person is; rows alternate.
    colours = np.where((np.arange(32) // 4 % 2 == 0)[:, None], red, blue)
    gaps, within = [], []
    for seed in range(24):
        means = patch_means(infrared(patches(colours), style="daylight", seed=seed)).reshape(8, 4)[2:6, 1:3]
        gaps.append(abs(means[::2].mean() - means[1::2].mean()))
        within.append(abs(means[0].mean() - means[2].mean()))
    assert np.max(gaps) > 60
    assert np.median(gaps) > 3 * np.median(within)


def test_black_cloth_is_bright_on_some_people_and_dark_on_others():
    colours = np.full((32, 3), 150)
    colours.reshape(8, 4, 3)[2:6, 1:3] = 18
    ratios = []
    for seed in range(40):
        means = patch_means(infrared(patches(colours), style="daylight", seed=seed)).reshape(8, 4)
        ratios.append(means[3:5, 1:3].mean() / means[3:5, [0, 3]].mean())
    assert min(ratios) < 0.5
    assert max(ratios) > 0.85


def test_a_person_keeps_the_response_of_the_clothes_under_other_light_and_noise():
    """One material seed, other seeds: the order of brightness of the patches stays; with another person it changes."""

    def view(seed: int, material_seed: int) -> np.ndarray:
        return patch_means(infrared(MONDRIAN, style="daylight", seed=seed, material_seed=material_seed))

    same = [np.corrcoef(view(2 * p, p), view(2 * p + 1, p))[0, 1] for p in range(12)]
    other = [np.corrcoef(view(2 * p, p), view(2 * p + 1, p + 100))[0, 1] for p in range(12)]
    assert min(same) > 0.9
    assert np.median(other) < np.median(same) - 0.15


@pytest.mark.parametrize("style", NEAR_INFRARED)
def test_texture_stays(style):
    """Fine stripes of shading within one colour are still there, with the same sign, whatever the material."""
    y = np.arange(128)[:, None, None]
    cloth = np.array([80, 110, 150]) * (1 + 0.25 * np.sin(y * 2 * np.pi / 4))
    rgb = np.broadcast_to(cloth, (128, 64, 3)).astype(np.uint8)
    expected = np.sin(np.arange(128) * 2 * np.pi / 4)
    for seed in range(6):
        rows = infrared(rgb, style=style, seed=seed)[:, 16:48].mean(axis=1).astype(np.float32)
        detail = rows - gaussian(rows[:, None].repeat(2, axis=1), 4)[:, 0]
        assert np.corrcoef(detail[16:112], expected[16:112])[0, 1] > 0.85


def test_skin_is_bright_and_foliage_is_bright():
    skin, tarmac, leaf = (150, 105, 80), (110, 110, 112), (60, 110, 40)
    for colour in (skin, leaf):
        colours = np.tile(np.array(tarmac), (32, 1))
        colours[12:20] = colour
        ratio = [
            (m := patch_means(infrared(patches(colours), style="daylight", seed=s)))[12:20].mean()
            / np.delete(m, range(12, 20)).mean()
            for s in range(12)
        ]
        assert np.median(ratio) > 1.05


def test_skin_of_every_tone_is_told_from_other_colours():
    tones = [(255, 219, 190), (224, 172, 138), (198, 134, 98), (141, 92, 66), (92, 58, 42)]
    others = [(0, 0, 0), (255, 255, 255), (128, 128, 128), (40, 60, 160), (60, 140, 60), (220, 20, 30), (250, 220, 40)]
    rgb = np.array([tones + others], dtype=np.float32) / 255
    likeness = skin_likeness(opponent(rgb))[0]
    assert likeness[: len(tones)].min() > 0.5
    assert likeness[len(tones) :].max() < 0.05


def test_skin_is_bright_on_everybody_and_cloth_is_not():
    colours = np.zeros((20, 2, 3), dtype=np.float32)
    colours[:, 0], colours[:, 1] = np.array([150, 105, 80]) / 255, np.array([70, 110, 190]) / 255
    flat = opponent(colours)
    seen = np.array([reflectance(flat, skin_likeness(flat), np.random.default_rng(s))[15] for s in range(40)])
    skin, cloth = seen.T
    assert skin.min() > 0.6
    assert skin.std() < 0.03
    assert cloth.std() > 0.08


def test_dark_hair_stays_dark_where_a_dark_coat_may_not():
    colours = np.full((32, 3), 150)
    colours.reshape(8, 4, 3)[[0, 4], 1:3] = 25
    hair, coat = [], []
    for seed in range(24):
        means = patch_means(infrared(patches(colours), style="daylight", seed=seed)).reshape(8, 4)
        ground = means[[0, 4]][:, [0, 3]].mean()
        hair.append(means[0, 1:3].mean() / ground)
        coat.append(means[4, 1:3].mean() / ground)
    assert max(hair) < 0.7
    assert max(coat) > 0.9


def test_highlights_spill(monkeypatch):
    rgb = np.full((128, 64, 3), 60, dtype=np.uint8)
    rgb[60:70, 28:36] = 255

    def beside(bloom: float) -> float:
        monkeypatch.setitem(SENSORS, "test", Sensor(reveal=0, noise=0, bloom=bloom))
        return float(infrared(rgb, style="test")[62:68, 37:40].mean())

    assert beside(0.8) > beside(0) + 3


def test_the_lamp_makes_corners_and_ground_darker():
    grey = np.full((128, 64, 3), 140, dtype=np.uint8)
    lit = np.mean([infrared(grey, style="active", seed=s) for s in range(8)], axis=0)
    assert lit[:20, :12].mean() < 0.7 * lit[45:75, 26:38].mean()


def test_low_light_is_noisier_than_daylight():
    grey = np.full((128, 64, 3), 140, dtype=np.uint8)
    noise = {s: np.diff(infrared(grey, style=s)[40:80, 24:40].astype(float), axis=1).std() for s in NEAR_INFRARED}
    assert noise["lowlight"] > 1.5 * noise["active"] > 1.5 * noise["daylight"]


def test_thermal_shows_a_warm_person_on_cold_ground():
    colours = np.tile(np.array([190, 190, 185]), (32, 1))
    colours.reshape(8, 4, 3)[:, 1:3] = [40, 45, 90]
    means = patch_means(infrared(patches(colours), style="thermal", seed=0)).reshape(8, 4)
    assert means[2:6, 1:3].min() > 1.5 * means[2:6, [0, 3]].max()


@pytest.mark.parametrize("size", [(5, 3), (17, 40), (128, 48), (600, 250)])
def test_any_size_is_kept(size):
    rgb = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    assert infrared(rgb, style="active").shape == size


def test_an_unknown_style_is_refused():
    with pytest.raises(KeyError):
        infrared(MONDRIAN, style="xray")
