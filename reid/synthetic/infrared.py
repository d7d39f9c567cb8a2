"""A frame of a near-infrared camera with its own lamp.

Not a grey photograph: every texel's reflectance is that of its fibre and dye at 850 nm (`reid.synthetic.wardrobe`), the
light comes from beside the lens and fades with distance from the middle of the picture, skin and leaves are bright, and
what is very bright blooms.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reid.synthetic.atlas import make_atlas
from reid.synthetic.camera import Camera, Shot
from reid.synthetic.draw import Draw
from reid.synthetic.figure import make_figure
from reid.synthetic.paint import lay, rasterise, surface
from reid.synthetic.person import Person
from reid.synthetic.pose import place_joints
from reid.synthetic.rgb import background, cast_shadow, flattened
from reid.synthetic.sensor import add_grain, quantise, soften, tap
from reid.synthetic.view import look

Float = NDArray[np.float32]
_F = np.float32


def render_infrared(seed: int, person: Person, camera: Camera, shot: Shot) -> NDArray[np.uint8]:
    """Film a person in near-infrared. uint8 [H, W, 3], three equal channels."""
    picture = background(seed, camera, shot, slice(3, 4))
    height, width = picture.shape[1:]
    # The lamp reaches the person better than what is behind.
    picture *= _F(0.5 + 0.2 * camera.ambient)
    figure, atlas = make_figure(person), make_atlas(person, 2 if height >= 192 else 1)
    strips = look(figure, place_joints(person, shot.stride), shot.sight, shot.frame)
    pixels = rasterise(strips, height, width)
    texels = surface(figure, atlas, strips, pixels)
    # A lamp at the lens: brightness is the cosine to the viewer, nearly whatever the side.
    light = _F(0.3) + _F(0.74) * flattened(strips, pixels)[1]
    colours = (atlas.planes[3].reshape(-1)[texels] * light)[None]
    cast_shadow(picture, strips, 0.2)
    lay(picture, pixels, colours)
    return _expose(picture, camera, shot)


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
