"""What a camera does to light: exposure, white balance, lost resolution, grain."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from reid.synthetic.camera import Camera, Shot
from reid.synthetic.draw import grain

Float = NDArray[np.float32]
_F = np.float32


def expose(picture: Float, camera: Camera, shot: Shot) -> NDArray[np.uint8]:
    """The image that a visible-light camera stores.

    Args:
        picture: float32 [3, H, W], 0..255, the light that falls in.

    Returns:
        uint8 [H, W, 3].
    """
    light = camera.exposure * shot.brightness
    balance = (camera.gains[0] + shot.warmth, camera.gains[1], camera.gains[2] - shot.warmth)
    grey = (picture[0] * _F(0.299) + picture[1] * _F(0.587)) + picture[2] * _F(0.114)
    picture = grey + (picture - grey) * _F(camera.saturation)
    for channel, gain in enumerate(balance):
        # Contrast turns about a middle grey.
        picture[channel] *= _F(light * gain * camera.contrast)
        picture[channel] += _F(110.0 * (1 - camera.contrast))
    picture = soften(picture, camera.sharpness, shot.motion)
    add_grain(picture, camera.noise, shot.key)
    return np.ascontiguousarray(quantise(picture).transpose(1, 2, 0))


def quantise(picture: Float) -> NDArray[np.uint8]:
    """To the nearest of 0..255."""
    return np.clip(picture + _F(0.5), 0, 255).astype(np.uint8)


def add_grain(picture: Float, sigma: float, key: int) -> None:
    """Add sensor noise with this standard deviation to every channel, in place."""
    table = grain()
    _, height, width = picture.shape
    for channel in picture:
        key = (key * 1103515245 + 12345) & 0x7FFFFFFF
        top, left = (key >> 8) % (320 - height), (key >> 19) % (320 - width)
        channel += table[top : top + height, left : left + width] * _F(sigma)


def soften(picture: Float, sharpness: float, motion: float) -> Float:
    """Lose resolution: keep `sharpness` of it (1: all), then smear sideways by `motion` (0..1)."""
    if sharpness < 1:
        _, height, width = picture.shape
        small = max(8, round(height * sharpness)), max(4, round(width * sharpness))
        picture = _resample(_resample(picture, small[0], 1), small[1], 2)
        picture = _resample(_resample(picture, height, 1), width, 2)
    else:
        picture = _tap(_tap(picture, 1, 0.12), 2, 0.12)
    if motion > 0:
        picture = _tap(picture, 2, 0.33 * motion)
    return picture


def _tap(picture: Float, axis: int, share: float) -> Float:
    """A kernel (share, 1 - 2 share, share) along an axis; the border keeps its value."""
    out = picture * _F(1 - 2 * share)
    if axis == 1:
        out[:, 1:] += picture[:, :-1] * _F(share)
        out[:, :-1] += picture[:, 1:] * _F(share)
        out[:, :1] += picture[:, :1] * _F(share)
        out[:, -1:] += picture[:, -1:] * _F(share)
    else:
        out[:, :, 1:] += picture[:, :, :-1] * _F(share)
        out[:, :, :-1] += picture[:, :, 1:] * _F(share)
        out[:, :, :1] += picture[:, :, :1] * _F(share)
        out[:, :, -1:] += picture[:, :, -1:] * _F(share)
    return out


@lru_cache(maxsize=64)
def _taps(old: int, new: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Float]:
    at = (np.arange(new, dtype=np.float64) + 0.5) * (old / new) - 0.5
    low = np.clip(np.floor(at), 0, old - 1)
    return low.astype(np.intp), np.minimum(low + 1, old - 1).astype(np.intp), np.clip(at - low, 0, 1).astype(_F)


def _resample(picture: Float, size: int, axis: int) -> Float:
    """Bilinear, along one axis of [C, H, W]."""
    low, high, weight = _taps(picture.shape[axis], size)
    first, second = picture.take(low, axis), picture.take(high, axis)
    return first + (second - first) * (weight[None, :, None] if axis == 1 else weight)
