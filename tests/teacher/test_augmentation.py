"""Augmentation against NumPy and Pillow: what each kind does, to whom and how often, from the sample's key alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from reid.modality import Modality
from teacher.data.augmentation import augment_images, mask_tokens, random_numbers
from teacher.settings import Augmentation

ERASED = 127.5
NONE = {"flip": 0, "pad": 0, "erase": 0, "grey": 0, "channel": 0, "brightness": 0}
IMAGES = (Modality.RGB, Modality.IR, Modality.SKETCH)
HEIGHT, WIDTH = 64, 32


def only(**how: float) -> Augmentation:
    """Nothing but what is given."""
    return Augmentation(**{**NONE, **how})


def pictures(n: int, height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> Tensor:
    """Noise, so that no two rows, columns, channels or shifts are alike."""
    noise = np.random.default_rng(seed).integers(0, 256, (n, 3, height, width), dtype=np.uint8)
    return torch.from_numpy(noise)


def augmented(images: Tensor, how: Augmentation, modality: Modality = Modality.RGB, seed: int = 0) -> NDArray[Any]:
    """The views that images at places 0, 1, ... get, [n, 3, H, W]."""
    numbers = random_numbers(seed, 0, range(len(images)))
    return augment_images(images, [modality] * len(images), numbers, how).numpy()


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    epoch=st.integers(0, 1000),
    places=st.lists(st.integers(0, 10**6), min_size=1, max_size=8, unique=True),
)
def test_numbers_depend_on_the_place_and_not_on_the_other_places(seed: int, epoch: int, places: list[int]) -> None:
    together = random_numbers(seed, epoch, places)
    assert together.min() >= 0
    assert together.max() < 1
    assert len(np.unique(together)) == together.size
    for row, place in zip(together, places, strict=True):
        assert np.array_equal(row, random_numbers(seed, epoch, [place])[0])


def test_numbers_depend_on_seed_epoch_and_place() -> None:
    keys = [(a, b, c) for a in range(3) for b in range(3) for c in range(3)]
    first = {tuple(random_numbers(seed, epoch, [place])[0]) for seed, epoch, place in keys}
    assert len(first) == len(keys)


def test_a_view_depends_on_its_own_key_alone() -> None:
    images, how, numbers = pictures(12), Augmentation(grey=0.3, channel=0.3), random_numbers(5, 2, range(12))
    modalities = [IMAGES[i % 3] for i in range(12)]
    together = augment_images(images, modalities, numbers, how)
    for chosen in ([7], [3, 0], [11, 2, 5, 1]):
        found = augment_images(images[chosen], [modalities[i] for i in chosen], numbers[chosen], how)
        torch.testing.assert_close(found, together[chosen], rtol=0, atol=1e-3)


def test_the_input_stays_as_it_is() -> None:
    images = pictures(6)
    before = images.clone()
    augmented(images, Augmentation(erase=1))
    assert torch.equal(images, before)


@pytest.mark.parametrize("modality", IMAGES)
def test_neutral_settings_give_the_image_back(modality: Modality) -> None:
    images = pictures(8)
    found = augmented(images, only(), modality)
    assert found.dtype == np.float32
    assert np.array_equal(found, images.numpy())


@pytest.mark.parametrize("modality", IMAGES)
@pytest.mark.parametrize("width", [WIDTH, WIDTH + 1])
def test_flip_1_mirrors_every_image(modality: Modality, width: int) -> None:
    images = pictures(8, width=width)
    assert np.array_equal(augmented(images, only(flip=1), modality), images.numpy()[..., ::-1])


def found_shift(view: NDArray[Any], image: NDArray[Any], reach: int) -> tuple[int, int]:
    """By how much a crop of the padded image is shifted to be the view; fails if it is not one crop."""
    padded = np.pad(image, ((0, 0), (reach, reach), (reach, reach)), mode="edge")
    height, width = image.shape[1:]
    shifts = [
        (dy - reach, dx - reach)
        for dy in range(2 * reach + 1)
        for dx in range(2 * reach + 1)
        if np.array_equal(padded[:, dy : dy + height, dx : dx + width], view)
    ]
    assert len(shifts) == 1
    return shifts[0]


@pytest.mark.parametrize(("height", "pad", "reach"), [(128, 3, 3), (64, 8, 4), (256, 1, 2)])
@pytest.mark.parametrize("flip", [0, 1])
def test_pad_is_a_random_crop_of_the_padded_image(height: int, pad: float, reach: int, flip: int) -> None:
    """`pad` is meant for a height of 128, and all shifts up to it occur, in both directions of both axes."""
    images = pictures(120, height, 16)
    views = augmented(images, only(pad=pad, flip=flip))
    originals = images.numpy()[..., ::-1] if flip else images.numpy()
    shifts = [found_shift(view, image, reach) for view, image in zip(views, originals, strict=True)]
    for axis in zip(*shifts, strict=True):
        assert set(axis) == set(range(-reach, reach + 1))
    assert abs(np.corrcoef(np.array(shifts).T)[0, 1]) < 0.3  # the axes are drawn one by one


def test_grey_weighs_the_channels_by_itu_r_601() -> None:
    images = pictures(8)
    found = augmented(images, only(grey=1))
    red, green, blue = images.numpy().astype(np.float64).transpose(1, 0, 2, 3)
    expected = 0.299 * red + 0.587 * green + 0.114 * blue
    for channel in range(3):
        np.testing.assert_allclose(found[:, channel], expected, atol=1e-3)
    for view, image in zip(found, images.numpy(), strict=True):
        pillow = np.asarray(Image.fromarray(image.transpose(1, 2, 0)).convert("L"), dtype=np.float64)
        np.testing.assert_allclose(view[0], pillow, atol=0.51)


@pytest.mark.parametrize("probability", [0.3, 1])
def test_channel_gives_any_of_the_channels_three_times(probability: float) -> None:
    """Which one does not depend on how often it happens."""
    images = pictures(200, 16, 8)
    chosen = []
    for view, image in zip(augmented(images, only(channel=probability)), images.numpy(), strict=True):
        if np.array_equal(view, image):
            continue
        same = [c for c in range(3) if all(np.array_equal(view[k], image[c]) for k in range(3))]
        assert len(same) == 1
        chosen += same
    assert len(chosen) == 200 or probability < 1
    assert min(np.bincount(chosen, minlength=3)) >= 10


@pytest.mark.parametrize("modality", [Modality.IR, Modality.SKETCH])
@pytest.mark.parametrize("how", [only(grey=1), only(channel=1), only(grey=0.5, channel=0.5)])
def test_only_rgb_loses_its_colours(modality: Modality, how: Augmentation) -> None:
    images = pictures(8)
    assert np.array_equal(augmented(images, how, modality), images.numpy())


def test_each_image_of_a_mixed_batch_is_treated_by_its_own_modality() -> None:
    images = pictures(9)
    modalities = [IMAGES[i % 3] for i in range(9)]
    found = augment_images(images, modalities, random_numbers(0, 0, range(9)), only(grey=1)).numpy()
    unchanged = [np.array_equal(view, image) for view, image in zip(found, images.numpy(), strict=True)]
    assert unchanged == [modality is not Modality.RGB for modality in modalities]


@pytest.mark.parametrize("modality", IMAGES)
def test_brightness_changes_level_and_contrast_by_up_to_its_share(modality: Modality) -> None:
    """Without clipping, a view is contrast times the image about its mean, shifted."""
    images = (pictures(200, 8, 8) // 2 + 64).numpy()
    contrasts, shifts = [], []
    for view, image in zip(augmented(torch.from_numpy(images), only(brightness=0.2), modality), images, strict=True):
        contrast, offset = np.polyfit(image.ravel().astype(np.float64), view.ravel(), 1)
        np.testing.assert_allclose(view, contrast * image + offset, atol=1e-3)
        contrasts.append(contrast)
        shifts.append(float(view.mean()) - float(image.mean()))
    for values, centre, reach in ((contrasts, 1, 0.2), (shifts, 0, 0.2 * 255)):
        assert centre - reach - 1e-3 <= min(values) < centre - 0.9 * reach
        assert centre + reach + 1e-3 >= max(values) > centre + 0.9 * reach
    assert abs(np.corrcoef(contrasts, shifts)[0, 1]) < 0.2


def erased_box(view: NDArray[Any]) -> tuple[int, int]:
    """Height and width of what is erased; fails if it is not one rectangle through all channels, or nothing."""
    erased = view == ERASED  # never a pixel of the image: those are integers
    rows, columns = np.flatnonzero(erased.any(axis=(0, 2))), np.flatnonzero(erased.any(axis=(0, 1)))
    box = np.zeros_like(erased)
    box[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    assert np.array_equal(box, erased)
    return len(rows), len(columns)


@pytest.mark.parametrize("modality", IMAGES)
@pytest.mark.parametrize(("height", "width"), [(64, 32), (48, 96), (50, 50)])
def test_a_rectangle_of_2_to_20_per_cent_is_erased(modality: Modality, height: int, width: int) -> None:
    """A side of s pixels, at any place, covers between s - 1 and s + 1 centres of pixels."""
    images, all_pixels = pictures(300, height, width), height * width
    boxes = []
    for view, image in zip(augmented(images, only(erase=1), modality), images.numpy(), strict=True):
        tall, wide = erased_box(view)
        kept = view != ERASED
        assert np.array_equal(view[kept], image[kept])
        assert (tall - 1) * (wide - 1) < 0.2 * all_pixels
        assert (tall + 1) * (wide + 1) > 0.02 * all_pixels
        if tall < height and wide < width:
            assert (tall - 1) / (wide + 1) < 3.3
            assert (wide - 1) / (tall + 1) < 3.3
        boxes.append((tall, wide, tall * wide / all_pixels))
    talls, wides, areas = np.array(boxes).T
    assert areas.min() < 0.04
    assert areas.max() > 0.17
    assert 0.09 < areas.mean() < 0.13
    assert (talls > 1.5 * wides).any()
    assert (wides > 1.5 * talls).any()


def test_what_is_erased_lies_anywhere_in_the_image() -> None:
    erased = augmented(pictures(300), only(erase=1))[:, 0] == ERASED
    for half in (np.s_[:, : HEIGHT // 2], np.s_[:, :, : WIDTH // 2]):
        assert erased[half].sum() / erased.sum() == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("border", [np.s_[:, 0], np.s_[:, -1], np.s_[:, :, 0], np.s_[:, :, -1]])
def test_each_border_of_the_image_is_erased_now_and_then(border: tuple[slice | int, ...]) -> None:
    erased = augmented(pictures(1000, 24, 24), only(erase=1))[:, 0] == ERASED
    assert erased[border].any(axis=1).sum() >= 10


def test_probabilities_are_kept_to() -> None:
    n = 1500
    images = pictures(n, 8, 8)
    pixels = images.numpy()
    flipped = augmented(images, only(flip=0.3))
    erased = augmented(images, only(erase=0.4))
    recoloured = augmented(images, only(grey=0.2, channel=0.35))
    alike = (recoloured[:, 0] == recoloured[:, 1]).all(axis=(1, 2))
    is_channel = alike & (recoloured[:, :1] == pixels).all(axis=(2, 3)).any(axis=1)
    shares = {
        "flip": ((flipped != pixels).any(axis=(1, 2, 3)), 0.3),
        "erase": ((erased == ERASED).any(axis=(1, 2, 3)), 0.4),
        "grey": (alike & ~is_channel, 0.2),
        "channel": (is_channel, 0.35),
    }
    for happened, probability in shares.values():
        assert happened.mean() == pytest.approx(probability, abs=0.05)
    # One does not go with the other.
    assert (shares["flip"][0] & shares["erase"][0]).mean() == pytest.approx(0.12, abs=0.03)
    assert (shares["flip"][0] & alike).mean() == pytest.approx(0.3 * 0.55, abs=0.03)


@settings(max_examples=30, deadline=None)
@given(
    shares=st.fixed_dictionaries(
        {name: st.sampled_from([0.0, 0.5, 1.0]) for name in ("flip", "erase", "grey", "channel", "brightness")}
    ),
    pad=st.sampled_from([0.0, 8.0, 200.0]),
    size=st.sampled_from([(1, 1), (5, 3), (32, 16)]),
    seed=st.integers(0, 1000),
    extreme=st.sampled_from([None, 0.0, float(np.nextafter(1, 0))]),
)
def test_values_stay_in_the_range_of_pixels(
    shares: dict[str, float], pad: float, size: tuple[int, int], seed: int, extreme: float | None
) -> None:
    images = pictures(6, *size, seed=seed)
    numbers = random_numbers(seed, 0, range(6)) if extreme is None else np.full((6, 16), extreme)
    shares["channel"] = min(shares["channel"], 1 - shares["grey"])
    found = augment_images(images, [*IMAGES, *IMAGES], numbers, Augmentation(pad=pad, **shares))
    assert found.dtype == torch.float32
    assert found.shape == images.shape
    assert float(found.min()) >= 0
    assert float(found.max()) <= 255


@settings(max_examples=60, deadline=None)
@given(
    tokens=st.lists(st.integers(0, 9), min_size=1, max_size=40),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_masking_drops_tokens_and_keeps_their_order(tokens: list[int], share: float, seed: int) -> None:
    numbers = np.random.default_rng(seed).random(16)
    kept = mask_tokens(tokens, numbers, share)
    assert kept
    remaining = iter(tokens)
    assert all(token in remaining for token in kept)  # each is found after the one before
    assert mask_tokens(tokens, numbers.copy(), share) == kept
    assert mask_tokens(tokens, numbers, 0) == tokens
    assert len(mask_tokens(tokens, numbers, 1)) == 1


def test_masking_drops_the_share_that_was_asked_for() -> None:
    tokens = list(range(50))
    captions = [mask_tokens(tokens, numbers, 0.3) for numbers in random_numbers(0, 0, range(200))]
    assert np.mean([len(kept) for kept in captions]) == pytest.approx(35, abs=1)
    assert len({tuple(kept) for kept in captions}) == 200
    # Every place is as likely to be dropped as any other, also beyond the sample's 16 numbers.
    dropped = np.array([[token not in kept for token in tokens] for kept in captions]).mean(axis=0)
    assert 0.15 < dropped.min() < dropped.max() < 0.45


def test_nothing_is_left_of_an_empty_caption() -> None:
    assert mask_tokens([], random_numbers(0, 0, [0])[0], 0.5) == []
