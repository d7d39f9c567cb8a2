"""A photograph by a visible-light camera."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from reid.synthetic.camera import Camera, Shot
from reid.synthetic.paint import flattened
from reid.synthetic.person import Person
from reid.synthetic.raster import Pixels, directions
from reid.synthetic.sensor import expose
from reid.synthetic.stage import VISIBLE, set_stage
from reid.synthetic.view import Strips

Float = NDArray[np.float32]
_F = np.float32


def render_rgb(seed: int, person: Person, camera: Camera, shot: Shot) -> NDArray[np.uint8]:
    """Photograph a person. uint8 [H, W, 3]."""
    return expose(set_stage(seed, person, camera, shot, VISIBLE, partial(_sunlight, camera), 0.42), camera, shot)


def _sunlight(camera: Camera, strips: Strips, pixels: Pixels) -> Float:
    """Brightness of every pixel's surface, float32 [N]: Lambert's law on cylinders, darker towards the edges."""
    ux, uy, _ = directions(strips.x0, strips.y0, strips.x1, strips.y1)
    right, down, near = camera.light
    across, facing = flattened(strips, pixels)
    # The surface's normal is (across * (uy, -ux), facing).
    lit = pixels.spread(uy * _F(right) - ux * _F(down)) * across + _F(near) * facing
    diffuse = np.maximum(lit, _F(0)) * _F(1.25 - camera.ambient)
    light: Float = (diffuse + _F(camera.ambient)) * (_F(0.72) + _F(0.38) * facing)
    return light
