"""Reading person crops: whatever a file holds, an upright 8-bit RGB image comes out, or one line why not.

Training and the device read by this code, so that a pixel means the same to both.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from reid.errors import UserError

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what turns the pixels upright (Exif 2.32, tag 0x0112); 1 is upright already."""
UNREADABLE = (OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, struct.error)
"""What Pillow's plugins raise for bytes that are not what they promise to be."""
LARGEST = 2**27
"""Pixels of an image at most: above 10,000 x 10,000, and a few hundred MB once decoded. A file of a few KB can promise
any number. (Pillow itself warns from 89 million on.)"""
DEEP = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I", "F"})
"""Pillow's modes of one channel with more than 8 bits: infrared cameras write them."""
DARK, BRIGHT = 0.5, 99.5
"""Percentiles of a deep image's values that become black and white."""


def read_rgb(source: Path | bytes, name: str | None = None) -> Image.Image:
    """An image, decoded completely, upright (EXIF) and in mode RGB (see `to_rgb`).

    Where EXIF data cannot be parsed the pixels are whole all the same: they are taken as they are, not turned.

    Args:
        source: a file, or its bytes. name: what it is called in errors; by default the path.

    Raises:
        UserError: missing, of more than `LARGEST` pixels, or does not decode to the last byte.
    """
    called = name or (str(source) if isinstance(source, Path) else f"{len(source)} bytes")
    try:
        with Image.open(source if isinstance(source, Path) else io.BytesIO(source)) as image:
            # Only the header has been read so far.
            if image.width * image.height > LARGEST:
                size = f"{image.width} x {image.height}"
                raise UserError(f"{called}: {size} pixels; at most {LARGEST} are decoded; cut the person out")
            image.load()
            method = _to_upright(image)
            return to_rgb(image if method is None else image.transpose(method))
    except FileNotFoundError:
        raise UserError(f"{called}: no such image") from None
    except (*UNREADABLE, Image.DecompressionBombError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{called}: does not decode as an image ({reason}); replace it or use --skip-broken") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """A decoded image of any mode in mode RGB.

    One channel of more than 8 bits becomes grey by `stretched`. Transparency lies over white, which is what paper is:
    a drawing on no background would else show the colours that its file hides, often black on black. Palettes, CMYK and
    all others are converted by Pillow.

    Raises:
        ValueError: there is no number in it that could be a grey.
    """
    if image.mode in DEEP:
        return Image.fromarray(stretched(np.asarray(image))).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or image.info.get("transparency") is not None:
        return _over_white(image)
    return image.convert("RGB")


def stretched(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Grey of an image of more than 8 bits: the percentiles `DARK` to `BRIGHT` of its own values spread over 0 to 255.

    A thermal camera's values fill a small part of 16 bits (20 degrees are some hundred steps of 65536), and which part
    moves with its temperature; so the range is taken from the image, less what a dead pixel would do to it. An image
    of one value alone is shown by its upper 8 bits.

    Args:
        values: [H, W] whole or floating numbers.

    Raises:
        ValueError: some are NaN or infinite.
    """
    numbers = values.astype(np.float32)
    if not np.isfinite(numbers).all():
        raise ValueError("it has values that are NaN or infinite")
    low, high = (float(edge) for edge in np.percentile(numbers, (DARK, BRIGHT)))
    if high <= low:
        low, high = 0.0, 65535.0
    grey: NDArray[np.uint8] = np.clip(np.rint((numbers - low) * (255 / (high - low))), 0, 255).astype(np.uint8)
    return grey


def _over_white(image: Image.Image) -> Image.Image:
    seen = image.convert("RGBA")
    paper = Image.new("RGBA", seen.size, (255, 255, 255, 255))
    return Image.alpha_composite(paper, seen).convert("RGB")


def _to_upright(image: Image.Image) -> Image.Transpose | None:
    """What the EXIF data asks for; None if nothing, or if it is broken."""
    try:
        return UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except UNREADABLE:
        return None
