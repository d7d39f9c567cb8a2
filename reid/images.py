"""Reading person crops from disk."""

from __future__ import annotations

import struct
from pathlib import Path

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


def read_rgb(path: Path) -> Image.Image:
    """The image at `path`, decoded completely, upright (EXIF) and in mode RGB.

    Where EXIF data cannot be parsed the pixels are whole all the same: they are taken as they are, not turned.

    Raises:
        UserError: missing, or does not decode to the last byte.
    """
    try:
        with Image.open(path) as image:
            image.load()
            method = _to_upright(image)
            return (image if method is None else image.transpose(method)).convert("RGB")
    except FileNotFoundError:
        raise UserError(f"{path}: no such image") from None
    except (*UNREADABLE, Image.DecompressionBombError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: does not decode as an image ({reason}); replace it or use --skip-broken") from error


def _to_upright(image: Image.Image) -> Image.Transpose | None:
    """What the EXIF data asks for; None if nothing, or if it is broken."""
    try:
        return UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except UNREADABLE:
        return None
