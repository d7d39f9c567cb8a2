"""A frame of a near-infrared camera with its own lamp.

Not a grey photograph: every texel's reflectance is that of its fibre and dye at 850 nm (`reid.synthetic.wardrobe`), the
light comes from beside the lens and fades with distance from the middle of the picture, skin and leaves are bright, and
what is very bright blooms.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reid.synthetic.camera import Camera, Shot
from reid.synthetic.draw import Draw
from reid.synthetic.paint import flattened
from reid.synthetic.person import Person
from reid.synthetic.raster import Pixels
from reid.synthetic.sensor import add_grain, quantise, soften, tap
from reid.synthetic.stage import INFRARED, set_stage
from reid.synthetic.view import Strips

Float = NDArray[np.float32]
_F = np.float32


def render_infrared(seed: int, person: Person, camera: Camera, shot: Shot) -> NDArray[np.uint8]:
    """Film a person in near-infrared. uint8 [H, W, 3], three equal channels."""
    return _expose(set_stage(seed, person, camera, shot, INFRARED, _lamplight, 0.2), camera, shot)


def _lamplight(strips: Strips, pixels: Pixels) -> Float:
    """A lamp at the lens: brightness is the cosine to the viewer, whatever the side."""
    light: Float = _F(0.3) + _F(0.74) * flattened(strips, pixels)[1]
    return light


def _expose(picture: Float, camera: Camera, shot: Shot) -> NDArray[np.uint8]:
    _, height, width = picture.shape
    draw = Draw("lamp", camera.name, shot.key)
    middle_x, middle_y = width * draw.between(0.3, 0.7), height * draw.between(0.25, 0.5)
    x = (np.arange(width, dtype=_F) - _F(middle_x)) / _F(height)
    y = (np.arange(height, dtype=_F) - _F(middle_y)) / _F(height)
    far = (y * y)[:, None] + (x * x)[None, :]
    lamp = _F(1.12 * camera.exposure * shot.brightness) / (_F(1) + _F(1.1) * far)
    picture = picture * lamp
    # Light spills from what is overexposed into its surroundings.
    excess = np.maximum(picture - _F(205), 0)
    spill = tap(tap(soften(excess, 0.5, 0.0), 1, 0.3), 2, 0.3)
    picture = np.minimum(picture, 225) + spill * _F(0.9)
    picture = soften(picture, camera.sharpness, shot.motion)
    add_grain(picture, camera.noise, shot.key)
    frame = quantise(picture)[0]
    return np.repeat(frame[:, :, None], 3, axis=2)
