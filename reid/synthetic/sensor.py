"""What a camera does to light: exposure, white balance, lost resolution, grain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reid.synthetic.camera import Camera, Shot
from reid.synthetic.draw import grain

Float = NDArray[np.float32]
_F = np.float32


def expose(picture: Float, camera: Camera, shot: Shot) -> NDArray[np.uint8]:
    """The image that a visible-light camera stores.

    Args:
        picture: float32 [3, H, W], 0..255, the light that falls in; is overwritten.

    Returns:
        uint8 [H, W, 3].
    """
    light = camera.exposure * shot.brightness
    balance = (camera.gains[0] + shot.warmth, camera.gains[1], camera.gains[2] - shot.warmth)
    grey = (picture[0] * _F(0.299) + picture[1] * _F(0.587)) + picture[2] * _F(0.114)
    grey *= _F(1 - camera.saturation)
    picture *= _F(camera.saturation)
    picture += grey
    for plane, gain in zip(picture, balance, strict=True):
        # Contrast turns about a middle grey.
        plane *= _F(light * gain * camera.contrast)
        plane += _F(110.0 * (1 - camera.contrast))
    picture = soften(picture, camera.sharpness, shot.motion)
    add_grain(picture, camera.noise, shot.key)
    image = np.empty((*picture.shape[1:], 3), np.uint8)
    for channel, plane in enumerate(quantise(picture)):
        image[:, :, channel] = plane
    return image


def quantise(picture: Float) -> NDArray[np.uint8]:
    """To the nearest of 0..255."""
    rounded = picture + _F(0.5)
    np.maximum(rounded, _F(0), out=rounded)
    np.minimum(rounded, _F(255), out=rounded)
    return rounded.astype(np.uint8)


def add_grain(picture: Float, sigma: float, key: int) -> None:
    """Add sensor noise with this standard deviation to every channel, in place."""
    table = grain()
    _, height, width = picture.shape
    for channel in picture:
        key = (key * 1103515245 + 12345) & 0x7FFFFFFF
        top, left = (key >> 8) % (320 - height), (key >> 19) % (320 - width)
        channel += table[top : top + height, left : left + width] * _F(sigma)


def soften(picture: Float, sharpness: float, motion: float) -> Float:
    """Lose resolution: keep about `sharpness` of it (1: all), then smear sideways by `motion` (0..1)."""
    share = 0.0 if sharpness >= 1 else 0.2
    _, height, width = picture.shape
    if sharpness < 0.75 and height % 2 == 0 and width % 2 == 0:
        small = (picture[:, ::2] + picture[:, 1::2]) * _F(0.5)
        small = (small[:, :, ::2] + small[:, :, 1::2]) * _F(0.5)
        coarse = np.repeat(np.repeat(small, 2, axis=1), 2, axis=2)
        picture = coarse if sharpness < 0.6 else (picture + coarse) * _F(0.5)
        share = 0.27
    if share:
        picture = tap(picture, 1, share)
    smear = share + motion * (0.3 - share / 2)
    return tap(picture, 2, smear) if smear else picture


def tap(picture: Float, axis: int, share: float) -> Float:
    """A kernel (share, 1 - 2 share, share) along an axis; beyond the border the border goes on."""
    out, side = picture * _F(1 - 2 * share), picture * _F(share)
    if axis == 1:
        out[:, 1:] += side[:, :-1]
        out[:, :-1] += side[:, 1:]
        out[:, :1] += side[:, :1]
        out[:, -1:] += side[:, -1:]
    else:
        out[:, :, 1:] += side[:, :, :-1]
        out[:, :, :-1] += side[:, :, 1:]
        out[:, :, :1] += side[:, :, :1]
        out[:, :, -1:] += side[:, :, -1:]
    return out
