"""Reading images: upright, whole, or one line that says why not."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from reid import images as module
from reid.errors import UserError
from reid.images import read_rgb


def picture() -> NDArray[np.uint8]:
    corners = np.random.default_rng(0).integers(0, 256, (4, 2, 3))
    return np.kron(corners, np.ones((16, 16, 1))).astype(np.uint8)


def save(path: Path, orientation: int = 6) -> Path:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Make] = "a camera"
    Image.fromarray(picture()).save(path, exif=exif, quality=95)
    return path


def stored(path: Path) -> NDArray[np.uint8]:
    """The pixels as they lie in the file."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_as_pillow_does(tmp_path: Path, orientation: int) -> None:
    path = save(tmp_path / "1.jpg", orientation)
    with Image.open(path) as image:
        expected = ImageOps.exif_transpose(image)
    found = read_rgb(path)
    assert found.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow warns of what it cannot parse.
def test_broken_exif_leaves_the_pixels_as_they_are(tmp_path: Path) -> None:
    path = save(tmp_path / "1.jpg")
    pixels, data = stored(path), path.read_bytes()
    start = data.index(b"Exif\0\0") + 6
    size = struct.unpack(">H", data[start - 8 : start - 6])[0] - 8
    for broken in (b"\xff" * size, data[start : start + 8] + b"\xff" * (size - 8)):
        path.write_bytes(data[:start] + broken + data[start + size :])
        np.testing.assert_array_equal(np.asarray(read_rgb(path)), pixels)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow warns of what it cannot parse.
def test_exif_corrupted_anywhere_never_loses_the_picture(tmp_path: Path) -> None:
    path = save(tmp_path / "1.jpg")
    pixels, data = stored(path), path.read_bytes()
    start = data.index(b"Exif\0\0") + 6
    size = struct.unpack(">H", data[start - 8 : start - 6])[0] - 8
    for at in range(start, start + size):
        for value in (0, 13, 255):
            path.write_bytes(data[:at] + bytes([value]) + data[at + 1 :])
            assert sorted(read_rgb(path).size) == sorted(pixels.shape[:2]), f"byte {at} = {value}"


@pytest.mark.parametrize("error", [struct.error("unpack"), TypeError("odd"), SyntaxError("not a TIFF"), KeyError(7)])
def test_exif_that_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(image: Image.Image) -> Image.Exif:
        raise error

    path = save(tmp_path / "1.jpg")
    expected = stored(path)
    monkeypatch.setattr(Image.Image, "getexif", fail)
    np.testing.assert_array_equal(np.asarray(read_rgb(path)), expected)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def replace_by_text(path: Path) -> None:
    path.write_text("<html>not found</html>")


@pytest.mark.parametrize("damage", [truncate, replace_by_text])
def test_pixels_that_do_not_decode(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    path = save(tmp_path / "1.jpg")
    damage(path)
    with pytest.raises(UserError, match=r"1\.jpg: does not decode as an image \(.+\); replace it") as error:
        read_rgb(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "error", [struct.error("unpack"), TypeError("odd"), EOFError(), Image.DecompressionBombError("too large")]
)
def test_whatever_a_decoder_raises_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(path: Path) -> Image.Image:
        raise error

    monkeypatch.setattr(module.Image, "open", fail)
    with pytest.raises(UserError, match=rf"1\.jpg: does not decode as an image \({str(error) or 'EOFError'}\)"):
        read_rgb(tmp_path / "1.jpg")


def test_no_such_image(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"1\.jpg: no such image$"):
        read_rgb(tmp_path / "1.jpg")
