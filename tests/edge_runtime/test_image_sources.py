"""Whatever is handed over as an image of a person becomes the pixels of training, or one line that says why not."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from edge_runtime.images import fit_into, listed, read_image
from edge_runtime.preprocess import Preprocessing
from reid.errors import UserError
from reid.images import LARGEST, read_rgb, stretched

BLACK = np.zeros((2, 2, 3), dtype=np.uint8)


def noise(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pixels(source: Any, **options: Any) -> NDArray[np.uint8]:
    image = read_image(source, **options)
    assert image.mode == "RGB"
    return np.asarray(image)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.booleans(), st.booleans())
def test_an_array_is_taken_pixel_for_pixel(height: int, width: int, bgr: bool, part_of_a_frame: bool) -> None:
    frame = noise(height + 5, width + 7, 3)
    array = frame[2 : 2 + height, 3 : 3 + width] if part_of_a_frame else frame[:height, :width].copy()
    expected = array[:, :, ::-1] if bgr else array
    np.testing.assert_array_equal(pixels(array, bgr=bgr), expected)


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 1)])
def test_a_grey_array_has_the_same_grey_in_every_channel(shape: tuple[int, ...]) -> None:
    array = noise(*shape)
    np.testing.assert_array_equal(pixels(array), np.repeat(array.reshape(5, 4, 1), 3, axis=2))


def test_transparency_lies_over_white() -> None:
    array = np.zeros((1, 3, 4), dtype=np.uint8)
    array[0, :, 3] = (0, 255, 128)  # nothing, black, half of black
    np.testing.assert_array_equal(pixels(array)[0, :, 0], (255, 0, 127))
    np.testing.assert_array_equal(pixels(encoded(Image.fromarray(array)))[0, :, 0], (255, 0, 127))
    # A colour that a palette declares to be transparent.
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    found = pixels(encoded(palette, transparency=0))
    assert found[0].tolist() == [[255, 255, 255], [40, 50, 60]]


def test_blue_green_red_and_alpha() -> None:
    array = noise(4, 5, 4)
    array[..., 3] = 255
    np.testing.assert_array_equal(pixels(array, bgr=True), array[..., [2, 1, 0]])


@pytest.mark.parametrize(
    ("array", "why"),
    [
        (BLACK[:0], "no pixels"),
        (BLACK[:, :0], "no pixels"),
        (np.zeros((3, 16, 8), np.uint8), r"channels first; expected \[height, width, 3\]: transpose\(1, 2, 0\)"),
        (np.zeros((8, 4, 2), np.uint8), r"shape \[8, 4, 2\] cannot be an image"),
        (np.zeros((8, 4, 7), np.uint8), "cannot be an image"),
        (np.zeros((1, 8, 4, 3), np.uint8), "cannot be an image"),
        (np.zeros(8, np.uint8), "cannot be an image"),
        (np.full((8, 4, 3), np.nan, np.float32), "found float32 with 96 values NaN or infinite; expected uint8"),
        (np.full((8, 4, 3), 0.5, np.float32), "found float32 from 0.5 to 0.5, whose range"),
        (np.zeros((8, 4, 3), np.int64), "found int64; expected uint8 from 0 to 255"),
        (np.zeros((8, 4, 3), np.uint16), "found uint16; expected uint8"),
        (np.zeros((8, 4), np.bool_), "found bool"),
        (np.lib.stride_tricks.as_strided(BLACK, (1 << 14, 1 << 14, 3), (0, 0, 1)), f"at most {LARGEST}"),
    ],
)
def test_an_array_that_cannot_be_an_image_is_refused_with_what_was_found(array: Any, why: str) -> None:
    with pytest.raises(UserError, match=rf"^crop 7: .*{why}") as caught:
        read_image(array, name="crop 7")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("odd", [None, 7, [[1, 2]], object()])
def test_what_is_no_image_at_all_is_refused(odd: Any) -> None:
    with pytest.raises(UserError, match=f"is a {type(odd).__name__}; expected a uint8 array"):
        read_image(odd)


def test_one_pixel_and_a_hundred_million_become_the_networks_input() -> None:
    how = Preprocessing(8, 4)
    target = np.empty((3, 8, 4), dtype=np.float32)
    fit_into(read_image(np.array([[[9, 200, 77]]], np.uint8)), how, target)
    assert (target == np.array([9, 200, 77], np.float32)[:, None, None]).all()
    huge = np.broadcast_to(np.array([1, 2, 3], np.uint8), (10_000, 10_000, 3))
    fit_into(read_image(huge), how, target)
    assert (target == np.array([1, 2, 3], np.float32)[:, None, None]).all()


def test_a_file_that_promises_more_pixels_than_memory_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    # 12,000 x 12,000 in 20 KB.
    path = tmp_path / "bomb.png"
    Image.new("1", (12_000, 12_000)).save(path)
    assert path.stat().st_size < 50_000
    with (
        pytest.warns(Image.DecompressionBombWarning),
        pytest.raises(UserError, match=r"bomb\.png: 12000 x 12000 pixels"),
    ):
        read_image(path)
    wide = tmp_path / "wide.png"
    Image.new("1", (20_000, 20_000)).save(wide)
    with pytest.raises(UserError, match=r"wide\.png: does not decode as an image \(.*could be decompression bomb"):
        read_image(wide)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_an_infrared_frame_of_16_bits_is_spread_over_its_own_range(kind: str, tmp_path: Path) -> None:
    """30 degrees of a thermal camera: some thousand of 65536 steps. Taken as they are, all of them would be white."""
    warm = np.linspace(7000, 8200, 64 * 32).reshape(64, 32).astype(np.uint16)
    warm[0, 0], warm[0, 1] = 65535, 0  # a hot and a dead pixel
    path = tmp_path / f"frame.{kind.lower()}"
    Image.fromarray(warm).save(path)
    found = pixels(path)
    np.testing.assert_array_equal(found, pixels(warm))
    low, high = np.percentile(warm, (0.5, 99.5))
    expected = np.clip((warm - low) / (high - low) * 255, 0, 255)
    np.testing.assert_allclose(found[..., 0], expected, atol=0.51)
    # Dark is cold and bright is warm, in order, from black to white; a sensor that drifts changes nothing.
    assert (found[1:].min(), found[1:].max()) == (0, 255) or found[1:].max() >= 254
    assert (np.diff(found[1:, :, 0].astype(int).ravel()) >= 0).all()
    np.testing.assert_array_equal(pixels((warm[1:] + 900).astype(np.uint16)), pixels(warm[1:]))


@pytest.mark.parametrize("value", [0, 300, 65535])
def test_a_frame_of_one_value_is_shown_by_its_upper_bits(value: int) -> None:
    assert (stretched(np.full((4, 4), value, np.uint16)) == round(value / 257)).all()


def test_floating_infrared_with_a_hole_in_it_is_refused(tmp_path: Path) -> None:
    values = np.linspace(20, 37, 12, dtype=np.float32).reshape(4, 3)
    Image.fromarray(values).save(tmp_path / "warm.tiff")
    assert np.ptp(pixels(tmp_path / "warm.tiff")) > 250
    values[1, 1] = np.nan
    Image.fromarray(values).save(tmp_path / "hole.tiff")
    with pytest.raises(UserError, match=r"hole\.tiff: does not decode .*NaN or infinite"):
        read_image(tmp_path / "hole.tiff")


def test_palette_grey_and_cmyk_files_are_the_colours_that_they_show() -> None:
    array = np.repeat(np.repeat(noise(4, 4, 3) // 64 * 64, 8, 0), 8, 1)
    image = Image.fromarray(array)
    palette = image.quantize(256)
    np.testing.assert_array_equal(pixels(encoded(palette, "GIF")), np.asarray(palette.convert("RGB")))
    grey = image.convert("L")
    np.testing.assert_array_equal(pixels(encoded(grey))[..., 1], np.asarray(grey))
    # The four inks of print: (1 - c) (1 - k).
    cmyk = encoded(image.convert("CMYK"), "TIFF")
    np.testing.assert_allclose(pixels(cmyk), array, atol=1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_path_its_bytes_and_pillow_agree_and_stand_upright(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / "crop.jpg"
    Image.fromarray(np.repeat(np.repeat(noise(4, 2, 3), 16, 0), 16, 1)).save(path, exif=exif)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    for source in (path, str(path), path.read_bytes(), bytearray(path.read_bytes()), memoryview(path.read_bytes())):
        np.testing.assert_array_equal(pixels(source), expected)
    np.testing.assert_array_equal(np.asarray(read_rgb(path)), expected)


@pytest.mark.parametrize("cut", [1, 20, 300])
def test_a_jpeg_that_ends_early_is_named(cut: int, tmp_path: Path) -> None:
    data = encoded(Image.fromarray(noise(64, 32, 3)), "JPEG")[:-cut]
    if cut > 2:  # Pillow makes do without the last marker
        (tmp_path / "half.jpg").write_bytes(data)
        with pytest.raises(UserError, match=r"half\.jpg: does not decode as an image"):
            read_image(tmp_path / "half.jpg")
        with pytest.raises(UserError, match=rf"image 3 \({len(data)} bytes\): does not decode as an image"):
            read_image(data, name="image 3")


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=300))
def test_bytes_of_any_kind_are_an_image_or_a_line(data: bytes) -> None:
    with pytest.raises(UserError, match="does not decode"):
        read_image(data)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow warns of EXIF data that it cannot parse
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 255), st.sampled_from(["PNG", "JPEG", "TIFF", "GIF", "WEBP"]))
def test_a_flipped_byte_gives_an_image_or_a_line(at: int, value: int, kind: str) -> None:
    data = bytearray(encoded(Image.fromarray(noise(16, 8, 3)), kind))
    data[at % len(data)] = value
    said = ""
    try:
        said = read_image(bytes(data)).mode
    except UserError as error:
        said = str(error)
    assert said == "RGB" or ("does not decode" in said and "\n" not in said)


def test_a_list_or_a_stack_is_taken_apart_and_a_single_image_is_not() -> None:
    stack = noise(3, 4, 5, 3)
    assert [np.asarray(one).tolist() for one in listed(stack)] == stack.tolist()
    assert listed([]) == []
    assert listed(np.empty((0, 4, 5, 3), np.uint8)) == []
    for single in (stack[0], "crop.jpg", Path("crop.jpg"), b"data", Image.fromarray(stack[0])):
        with pytest.raises(UserError, match=r"images: found one .* into"):
            listed(single)  # type: ignore[arg-type]


def test_the_input_is_what_training_makes_of_the_same_file(tmp_path: Path) -> None:
    path, how = tmp_path / "crop.png", Preprocessing(64, 32)
    Image.fromarray(noise(200, 80, 3)).save(path)
    target = np.empty((3, 64, 32), dtype=np.float32)
    fit_into(read_image(path), how, target)
    with Image.open(path) as image:
        resized = np.asarray(image.resize((32, 64), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(target, resized.transpose(2, 0, 1).astype(np.float32))


def test_what_opencv_decodes_is_the_same_to_a_grey_level(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "crop.jpg"
    Image.fromarray(np.repeat(np.repeat(noise(8, 4, 3), 16, 0), 16, 1)).save(path, quality=90)
    frame = cv2.imread(str(path))
    assert np.abs(pixels(frame, bgr=True).astype(int) - pixels(path)).max() <= 1
    # Its bytes, as a camera's web server sends them.
    data = cv2.imencode(".png", frame)[1]
    np.testing.assert_array_equal(pixels(bytes(data)), frame[:, :, ::-1])
