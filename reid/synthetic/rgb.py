"""A photograph by a visible-light camera."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reid.synthetic.atlas import make_atlas
from reid.synthetic.camera import Camera, Shot
from reid.synthetic.figure import Figure, make_figure
from reid.synthetic.paint import lay, rasterise, surface
from reid.synthetic.person import Person
from reid.synthetic.pose import place_joints
from reid.synthetic.raster import Pixels, directions
from reid.synthetic.scene import make_scene
from reid.synthetic.sensor import expose
from reid.synthetic.view import Strips, look

Float = NDArray[np.float32]
_F = np.float32


def render_rgb(seed: int, person: Person, camera: Camera, shot: Shot) -> NDArray[np.uint8]:
    """Photograph a person. uint8 [H, W, 3]."""
    picture = background(seed, camera, shot, slice(0, 3))
    _stand(picture, person, camera, shot)
    return expose(picture, camera, shot)


def _stand(picture: Float, person: Person, camera: Camera, shot: Shot) -> None:
    """Paint the person and the shadow on the ground into the picture."""
    height, width = picture.shape[1:]
    figure, atlas = make_figure(person), make_atlas(person, 2 if height >= 192 else 1)
    strips = look(figure, place_joints(person, shot.stride), shot.sight, shot.frame)
    pixels = rasterise(strips, height, width)
    texels = surface(figure, atlas, strips, pixels)
    light = lighting(strips, pixels, camera)
    colours = np.empty((3, texels.size), _F)
    flat = atlas.planes.reshape(4, -1)
    for channel in range(3):
        np.multiply(flat[channel][texels], light, out=colours[channel])
    cast_shadow(picture, strips, 0.42)
    lay(picture, pixels, colours)


def background(seed: int, camera: Camera, shot: Shot, planes: slice) -> Float:
    """The part of the camera's scene behind this shot, float32 [C, H, W]."""
    height, width = shot.frame.height, shot.frame.width
    scene = make_scene(seed, camera.scene, camera.tilt, height)
    top = int((scene.shape[1] - height) * shot.scene_y)
    left = int((scene.shape[2] - width) * shot.scene_x)
    return scene[planes, top : top + height, left : left + width].astype(_F)


def lighting(strips: Strips, pixels: Pixels, camera: Camera) -> Float:
    """Brightness of every pixel's surface, float32 [N]: Lambert's law on cylinders, darker towards the edges."""
    ux, uy, _ = directions(strips.x0, strips.y0, strips.x1, strips.y1)
    right, down, near = camera.light
    across, facing = flattened(strips, pixels)
    # The surface's normal is (across * (uy, -ux), facing).
    lit = pixels.spread(uy * _F(right) - ux * _F(down)) * across + _F(near) * facing
    diffuse = np.maximum(lit, _F(0)) * _F(1.25 - camera.ambient)
    light: Float = (diffuse + _F(camera.ambient)) * (_F(0.72) + _F(0.38) * facing)
    return light


def flattened(strips: Strips, pixels: Pixels) -> tuple[Float, Float]:
    """`across` and `facing` of the surface's normal: a box turns away from the viewer only near its edges."""
    across, facing = pixels.across, pixels.facing
    boxes = np.flatnonzero(strips.boxy)
    if boxes.size:
        across, facing = across.copy(), facing.copy()
        for index in boxes:
            first, last = pixels.windows[index][:2]
            away = across[first:last]
            square = away * away
            away *= _F(1) - strips.boxy[index] * (_F(1) - square * square)
            facing[first:last] = np.sqrt(_F(1) - away * away)
    return across, facing


def cast_shadow(picture: Float, strips: Strips, strength: float) -> None:
    """Darken the ground under the feet."""
    height, width = picture.shape[1:]
    y, x = strips.feet
    tall, wide = strips.unit * 9, strips.unit * 40
    top, bottom = max(0, int(y - tall)), min(height, int(y + tall) + 1)
    if top >= bottom:
        return
    down = (np.arange(top, bottom, dtype=_F) - _F(y - 1)) / _F(tall)
    across = (np.arange(width, dtype=_F) - _F(x)) / _F(wide)
    near = np.maximum(_F(1) - (down * down)[:, None] - (across * across)[None, :], 0)
    picture[:, top:bottom] *= _F(1) - _F(strength) * near


__all__ = ["Figure", "background", "cast_shadow", "lighting", "render_rgb"]
