"""Preprocessing against its formula, a literal bicubic kernel, Pillow, and the image processor of transformers."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from edge_runtime.preprocess import CLIP_MEAN, CLIP_STD, RESAMPLING, Preprocessing
from reid.errors import UserError

WHERE = "student/preprocessing.json"
GOOD = {"height": 56, "width": 28, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3], "resampling": "bicubic"}


def noise(height: int, width: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def bicubic(values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """A row [n, channels] resampled to `size` by Keys' kernel (a = -0.5), widened with the reduction."""
    scale = len(values) / size
    wide = max(scale, 1.0)
    found = []
    for place in range(size):
        centre = (place + 0.5) * scale
        weights = []
        for i in range(len(values)):
            x = abs((i + 0.5 - centre) / wide)
            near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
            weights.append(near if x < 1 else far if x < 2 else 0.0)
        found.append(sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights))
    return np.clip(np.array(found), 0, 255)


channel = st.floats(0.05, 0.95)
three = st.tuples(channel, channel, channel)
settings_of = st.builds(
    Preprocessing, st.integers(1, 4096), st.integers(1, 4096), three, three, st.sampled_from(sorted(RESAMPLING))
)


@settings(max_examples=30, deadline=None)
@given(three, three, st.integers(1, 3), st.integers(0, 99))
def test_pixels_are_scaled_and_shifted_channel_by_channel(mean: Any, std: Any, images: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (images, 4, 3, 3), dtype=np.uint8)
    found = Preprocessing(4, 3, mean, std).normalise(pixels)
    assert found.shape == (images, 3, 4, 3)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous  # a device copies it as it lies
    for n, row, column, c in np.ndindex(*pixels.shape):
        expected = (int(pixels[n, row, column, c]) / 255 - mean[c]) / std[c]
        assert found[n, c, row, column] == pytest.approx(expected, abs=1e-5)


def test_scale_and_shift_are_all_there_is_to_normalising() -> None:
    how = Preprocessing(8, 4)
    scale, shift = how.scale_and_shift()
    assert (scale.shape, scale.dtype) == (shift.shape, shift.dtype) == ((3,), np.float32)
    # Black and white, as mean and deviation say: (0 - mean) / std and (1 - mean) / std.
    for c in range(3):
        assert shift[c] == pytest.approx(-CLIP_MEAN[c] / CLIP_STD[c])
        assert 255 * scale[c] + shift[c] == pytest.approx((1 - CLIP_MEAN[c]) / CLIP_STD[c])


def test_the_input_is_that_of_transformers() -> None:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    how = Preprocessing(84, 56)
    fitted = [how.fit(noise(*size, seed)) for seed, size in enumerate([(128, 64), (30, 90)])]
    processor = Qwen2VLImageProcessorPil(do_resize=False)
    out = processor(images=[Image.fromarray(pixels) for pixels in fitted], return_tensors="np")
    assert out["image_grid_thw"].tolist() == [[1, 6, 4]] * 2
    # Rows and columns of 2 x 2 patches, these, then channel, frame (an image is shown twice), and the patch's pixels.
    patches = out["pixel_values"].reshape(2, 3, 2, 2, 2, 3, 2, 14, 14)
    frames = patches.transpose(0, 6, 5, 1, 3, 7, 2, 4, 8).reshape(2, 2, 3, 84, 56)
    found = how.normalise(np.stack(fitted))
    for frame in range(2):
        np.testing.assert_allclose(found, frames[:, frame], atol=1e-5)


@pytest.mark.parametrize("name", sorted(RESAMPLING))
@pytest.mark.parametrize("size", [(128, 64), (20, 10), (40, 300), (1, 1)])
def test_an_image_is_resized_as_pillow_does(name: str, size: tuple[int, int]) -> None:
    image = noise(*size)
    found = Preprocessing(56, 28, resampling=name).fit(image)
    assert (found.shape, found.dtype) == ((56, 28, 3), np.uint8)
    expected = image.resize((28, 56), Image.Resampling[name.upper()])
    np.testing.assert_array_equal(found, np.asarray(expected))


def test_bicubic_is_what_one_gets_without_asking() -> None:
    image = noise(90, 40)
    default = Preprocessing(56, 28).fit(image)
    np.testing.assert_array_equal(default, Preprocessing(56, 28, resampling="bicubic").fit(image))
    assert (default != Preprocessing(56, 28, resampling="lanczos").fit(image)).any()


@pytest.mark.parametrize(("length", "to"), [(2000, 28), (2000, 56), (9, 56), (60, 56)])
@pytest.mark.parametrize("tall", [False, True])
def test_lines_one_pixel_thick_are_resampled_by_a_widened_kernel(length: int, to: int, tall: bool) -> None:
    line = np.random.default_rng(1).integers(0, 256, (length, 3), dtype=np.uint8)
    expected = bicubic(line.astype(np.float64), to)
    if tall:
        found = Preprocessing(to, 5).fit(Image.fromarray(line[:, None]))
        columns = found.transpose(1, 0, 2)
    else:
        found = Preprocessing(5, to).fit(Image.fromarray(line[None]))
        columns = found
    for copy in columns:  # the one pixel of the other side is spread over all of it
        np.testing.assert_allclose(copy, expected, atol=1)


@pytest.mark.parametrize("name", sorted(RESAMPLING))
def test_a_fine_pattern_becomes_grey_and_not_a_coarse_one(name: str) -> None:
    board = np.indices((560, 280)).sum(0) % 2 * 255
    image = Image.fromarray(np.repeat(board[:, :, None], 3, axis=2).astype(np.uint8))
    inner = Preprocessing(56, 28, resampling=name).fit(image)[2:-2, 2:-2].astype(int)
    assert np.abs(inner - 127.5).max() < 3


def test_the_whole_crop_is_stretched_and_nothing_is_cut_off() -> None:
    # A wide image whose four quarters have four colours: each fills its quarter of the tall input.
    colours = np.array([[[250, 0, 0], [0, 250, 0]], [[0, 0, 250], [250, 250, 250]]], dtype=np.uint8)
    found = Preprocessing(60, 20).fit(Image.fromarray(colours.repeat(20, axis=0).repeat(100, axis=1)))
    quarters = found.reshape(2, 30, 2, 10, 3)
    for row, column in np.ndindex(2, 2):
        away_from_the_edge = quarters[row, 5:-5, column, 2:-2]
        assert (away_from_the_edge == colours[row, column]).all()
    corners = found[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.tolist() == colours.reshape(4, 3).tolist()


def test_one_pixel_fills_the_input() -> None:
    found = Preprocessing(56, 28).fit(Image.new("RGB", (1, 1), (9, 200, 77)))
    assert (found == (9, 200, 77)).all()


def test_an_image_of_the_right_size_is_left_alone() -> None:
    image = noise(56, 28)
    np.testing.assert_array_equal(Preprocessing(56, 28).fit(image), np.asarray(image))
    turned = Preprocessing(28, 56).fit(image)  # height first here, width first in Pillow
    assert turned.shape == (28, 56, 3)


@given(settings_of)
def test_the_numbers_survive_json(how: Preprocessing) -> None:
    assert Preprocessing.from_dict(json.loads(json.dumps(how.to_dict())), WHERE) == how


@pytest.mark.parametrize("key", sorted(GOOD))
def test_a_key_that_is_missing_is_named(key: str) -> None:
    raw = {k: v for k, v in GOOD.items() if k != key}
    with pytest.raises(UserError, match=rf"^{WHERE}: not a preprocessing \(KeyError: '{key}'\)$"):
        Preprocessing.from_dict(raw, WHERE)


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(UserError, match=f"^{WHERE}: unknown preprocessing key 'crop'; was it written by a newer"):
        Preprocessing.from_dict(GOOD | {"crop": 0.9}, WHERE)


@pytest.mark.parametrize(
    "change",
    [
        {"height": "tall"},
        {"width": None},
        {"mean": [0.5, 0.5]},
        {"mean": 0.5},
        {"std": [0.2, 0.2, 0.2, 0.2]},
        {"std": [0.2, "wide", 0.2]},
        {"height": 0},
        {"width": -28},
        {"std": [0.2, 0.0, 0.2]},
        {"resampling": "nearest"},
        {"resampling": None},
    ],
    ids=str,
)
def test_a_value_that_cannot_be_is_refused_in_one_line(change: dict[str, Any]) -> None:
    assert Preprocessing.from_dict(GOOD, WHERE).height == 56
    with pytest.raises(UserError) as error:
        Preprocessing.from_dict(GOOD | change, WHERE)
    assert str(error.value).startswith(f"{WHERE}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("change", [{"height": math.inf}, {"mean": [math.nan] * 3}, {"std": [0.2, math.nan, 0.2]}])
def test_numbers_that_are_none_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        Preprocessing.from_dict(json.loads(json.dumps(GOOD | change)), WHERE)
