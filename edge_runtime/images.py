"""What people hand over as images of a person - files, encoded bytes, arrays - as the pixels that a graph takes.

Decoding is Pillow's (`reid.images`) and resizing is Pillow's (`Preprocessing.fit`), as in training. OpenCV is not used
even where it is installed: its resizing is up to 25 grey levels off (no kernel of it widens with the reduction, and its
bicubic one has a = -0.75), and OpenCV 4 gives back a truncated JPEG as if it were whole. What it decodes has the same
grey levels as what Pillow does, so its arrays are taken as they are, with `bgr=True`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_runtime.preprocess import Preprocessing
from reid.errors import UserError
from reid.images import LARGEST, read_rgb, stretched, to_rgb

ImageSource = NDArray[Any] | Path | str | bytes | bytearray | memoryview | Image.Image
"""One image: uint8 [H, W, 3] (or [H, W], [H, W, 1], [H, W, 4]), uint16 [H, W] of an infrared camera, a file, a file's
bytes, or an image of Pillow."""

_CHANNELS = (1, 3, 4)


@dataclass(frozen=True)
class Problem:
    """An image that cannot be used: its place among those that were given, and why."""

    row: int
    why: str


def read_image(source: ImageSource, *, bgr: bool = False, name: str = "image") -> Image.Image:
    """One image, whole, upright and in mode RGB.

    Args:
        source: what it is.
        bgr: the channels of an array are blue, green, red (OpenCV's order). Files say themselves what they are.
        name: what an image without a path is called in errors.

    Raises:
        UserError: it cannot be an image of a person, or does not decode; what was found and what is expected.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, bgr, name)
    if isinstance(source, (str, Path)):
        return read_rgb(Path(source))
    if isinstance(source, (bytes, bytearray, memoryview)):
        return read_rgb(bytes(source), f"{name} ({len(source)} bytes)")
    if isinstance(source, Image.Image):
        if 0 in source.size:
            raise UserError(f"{name}: has no pixels ({source.width} x {source.height}); leave empty crops out")
        return to_rgb(source)
    raise UserError(
        f"{name}: is a {type(source).__name__}; expected a uint8 array [height, width, 3], a path, or a file's bytes"
    )


def listed(images: Sequence[ImageSource] | NDArray[Any]) -> list[ImageSource]:
    """The images one by one.

    Args:
        images: a list, or uint8 [n, H, W, 3].

    Raises:
        UserError: it is one image and no list of images.
    """
    if isinstance(images, np.ndarray):
        if images.ndim != 4 and not (images.ndim in (1, 3) and len(images) == 0):
            raise UserError(
                f"images: found one array of shape {list(images.shape)}; expected [n, height, width, 3], or a list of "
                "images: put a single one into a list"
            )
        return list(images)
    if isinstance(images, (str, Path, bytes, bytearray, memoryview, Image.Image)):
        raise UserError(f"images: found one {type(images).__name__}; expected a list of images: put it into one")
    return list(images)


def fit_into(image: Image.Image, how: Preprocessing, target: NDArray[np.float32]) -> None:
    """An RGB image as the graph takes it: float32 [3, height, width] from 0 to 255, written into `target`."""
    np.copyto(target, how.fit(image).transpose(2, 0, 1), casting="unsafe")


def _from_array(array: NDArray[Any], bgr: bool, name: str) -> Image.Image:
    if 0 in array.shape:
        raise UserError(f"{name}: has no pixels (shape {list(array.shape)}); leave empty crops out")
    if array.ndim == 3 and array.shape[2] not in _CHANNELS and array.shape[0] in _CHANNELS:
        raise UserError(
            f"{name}: shape {list(array.shape)} has the channels first; expected [height, width, 3]: transpose(1, 2, 0)"
        )
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in _CHANNELS):
        raise UserError(f"{name}: shape {list(array.shape)} cannot be an image; expected [height, width, 3]")
    if array.shape[0] * array.shape[1] > LARGEST:
        raise UserError(f"{name}: {array.shape[1]} x {array.shape[0]} pixels; at most {LARGEST}; cut the person out")
    grey = array.ndim == 2 or array.shape[2] == 1
    if array.dtype == np.uint16 and grey:
        array = stretched(array.reshape(array.shape[:2]))
    if array.dtype != np.uint8:
        raise UserError(f"{name}: {_not_bytes(array)}; expected uint8 from 0 to 255")
    size = array.shape[1], array.shape[0]
    # A part of a larger frame is a view with gaps between its rows.
    packed = np.ascontiguousarray(array)
    if grey:
        return Image.frombuffer("L", size, cast(Any, packed), "raw", "L", 0, 1).convert("RGB")
    if array.shape[2] == 3:
        return Image.frombuffer("RGB", size, cast(Any, packed), "raw", "BGR" if bgr else "RGB", 0, 1)
    return to_rgb(Image.frombuffer("RGBA", size, cast(Any, packed), "raw", "BGRA" if bgr else "RGBA", 0, 1))


def _not_bytes(array: NDArray[Any]) -> str:
    """What an array of another type holds, in words."""
    if not np.issubdtype(array.dtype, np.floating):
        return f"found {array.dtype}"
    finite = array[np.isfinite(array)]
    if finite.size < array.size:
        return f"found {array.dtype} with {array.size - finite.size} values NaN or infinite"
    return (
        f"found {array.dtype} from {finite.min():g} to {finite.max():g}, whose range and normalisation nobody declared"
    )
