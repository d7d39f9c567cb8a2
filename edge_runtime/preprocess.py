"""From an image to what a network takes: one implementation, for training in the cloud and for the device.

NumPy and Pillow only. Training augments between `fit` and `scale_and_shift`, and uses the numbers of both.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reid.errors import UserError

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
"""All three are antialiased in Pillow: the kernel widens with the reduction."""


@dataclass(frozen=True)
class Preprocessing:
    """The numbers that turn an RGB image into a network's input.

    Attributes:
        height, width: of the input in pixels. The crop is stretched to it, whatever its aspect: a person crop has
            no margin that could be cut off.
        mean, std: per channel, of values from 0 to 1.
        resampling: a key of `RESAMPLING`.
    """

    height: int
    width: int
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD
    resampling: str = "bicubic"

    def fit(self, image: Image.Image) -> NDArray[np.uint8]:
        """An RGB image of any size as uint8 [height, width, 3], resized with antialiasing."""
        size = (self.width, self.height)
        if image.size != size:
            image = image.resize(size, RESAMPLING[self.resampling])
        return np.asarray(image, dtype=np.uint8)

    def scale_and_shift(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """scale [3] and shift [3] such that the network's input is `pixel * scale + shift` for pixels 0 to 255."""
        mean, std = np.asarray(self.mean, np.float64), np.asarray(self.std, np.float64)
        return (1 / (255 * std)).astype(np.float32), (-mean / std).astype(np.float32)

    def normalise(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 [n, height, width, 3] -> float32 [n, 3, height, width]."""
        scale, shift = self.scale_and_shift()
        return np.ascontiguousarray((pixels * scale + shift).transpose(0, 3, 1, 2))

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, raw: dict[str, Any], where: str) -> Preprocessing:
        """The inverse of `to_dict`; `where` names the file in the error.

        Raises:
            UserError: a key is unknown or missing, or a value does not fit.
        """
        unknown = sorted(set(raw) - {f.name for f in fields(cls)})
        if unknown:
            raise UserError(f"{where}: unknown preprocessing key '{unknown[0]}'; was it written by a newer version?")
        try:
            made = cls(raw["height"], raw["width"], _three(raw["mean"]), _three(raw["std"]), raw["resampling"])
            sizes = (made.height, made.width)
            possible = all(isinstance(size, int) and size > 0 for size in sizes) and made.resampling in RESAMPLING
            possible = possible and all(map(isfinite, (*made.mean, *made.std))) and min(made.std) > 0
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{where}: not a preprocessing ({type(error).__name__}: {error})") from error
        if not possible:
            raise UserError(f"{where}: preprocessing {raw} is not possible")
        return made


def _three(values: object) -> tuple[float, float, float]:
    if not isinstance(values, list | tuple):
        raise TypeError("expected three numbers")
    red, green, blue = map(float, values)
    return red, green, blue
