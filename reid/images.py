"""Reading person crops from disk."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageOps

from reid.errors import UserError


def read_rgb(path: Path) -> Image.Image:
    """The image at `path`, decoded completely, upright (EXIF) and in mode RGB.

    Raises:
        UserError: missing, or does not decode to the last byte.
    """
    try:
        with Image.open(path) as image:
            image.load()
            return ImageOps.exif_transpose(image).convert("RGB")
    except FileNotFoundError:
        raise UserError(f"{path}: no such image") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: does not decode as an image ({reason}); replace it or use --skip-broken") from error
