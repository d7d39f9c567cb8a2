"""The picture before the lens: background, person, and what stands in the way; the same for both kinds of cameras."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from reid.synthetic.atlas import make_atlas
from reid.synthetic.camera import Camera, Shot
from reid.synthetic.draw import Draw, smooth_noise
from reid.synthetic.figure import make_figure
from reid.synthetic.paint import add_gloss, lay, rasterise, resolve, surface
from reid.synthetic.person import MAX_PEOPLE, Person, make_person
from reid.synthetic.pose import Stride, draw_stride, place_joints
from reid.synthetic.raster import Pixels
from reid.synthetic.scene import make_scene
from reid.synthetic.view import Frame, Sight, Strips, look

Float = NDArray[np.float32]
Light = Callable[[Strips, Pixels], Float]
"""How bright the surfaces are: strips and their N pixels -> float32 [N]."""
_F = np.float32
VISIBLE, INFRARED = slice(0, 3), slice(3, 4)
_CROWD = 48


def set_stage(
    seed: int, person: Person, camera: Camera, shot: Shot, planes: slice, light: Light, shadow: float
) -> Float:
    """Everything that the camera sees, float32 [C, H, W], 0..255.

    Args:
        planes: `VISIBLE` or `INFRARED`.
        light: how surfaces are lit. shadow: how dark the shadow on the ground is, 0..1.
    """
    picture = _background(seed, camera, shot, planes)
    _stand(picture, person, shot.stride, shot.sight, shot.frame, planes, light, shadow)
    if shot.occluder == "pedestrian":
        _pass_by(picture, seed, shot, planes, light, shadow)
    elif shot.occluder is not None:
        cover, colour = _OCCLUDERS[shot.occluder](shot, Draw("occluder", shot.key))
        picture += cover * (colour[planes] - picture)
    return picture


def _background(seed: int, camera: Camera, shot: Shot, planes: slice) -> Float:
    height, width = shot.frame.height, shot.frame.width
    scene = make_scene(seed, camera.scene, camera.tilt, height)
    top = int((scene.shape[1] - height) * shot.scene_y)
    left = int((scene.shape[2] - width) * shot.scene_x)
    return scene[planes, top : top + height, left : left + width].astype(_F)


def _stand(
    picture: Float,
    person: Person,
    stride: Stride,
    sight: Sight,
    frame: Frame,
    planes: slice,
    light: Light,
    shadow: float,
) -> None:
    """Paint a person and the shadow at the feet into the picture."""
    figure, atlas = make_figure(person), make_atlas(person, 2 if frame.height >= 192 else 1)
    strips = look(figure, place_joints(person, stride), sight, frame)
    pixels, clear = resolve(rasterise(strips, frame.height, frame.width), frame.height * frame.width)
    texels = surface(figure, atlas, strips, pixels)
    shade = light(strips, pixels)
    add_gloss(shade, pixels, [atlas.gloss[figure.parts[i].tile] for i in strips.part])
    textures = atlas.planes.reshape(4, -1)[planes]
    colours = np.empty((len(textures), texels.size), _F)
    for texture, colour in zip(textures, colours, strict=True):
        np.multiply(texture[texels], shade, out=colour)
    _cast_shadow(picture, strips, shadow)
    lay(picture, pixels, clear, colours)


def _cast_shadow(picture: Float, strips: Strips, strength: float) -> None:
    height, width = picture.shape[1:]
    y, x = strips.feet
    tall, wide = strips.unit * 9, strips.unit * 40
    top, bottom = max(0, int(y - tall)), min(height, int(y + tall) + 1)
    if top >= bottom:
        return
    down = (np.arange(top, bottom, dtype=_F) - _F(y - 1)) / _F(tall)
    across = (np.arange(width, dtype=_F) - _F(x)) / _F(wide)
    near = np.maximum(_F(1) - (down * down)[:, None] - (across * across)[None, :], _F(0))
    picture[:, top:bottom] *= _F(1) - _F(strength) * near


def _pass_by(picture: Float, seed: int, shot: Shot, planes: slice, light: Light, shadow: float) -> None:
    """Somebody else walks between the camera and the person, at one side of the picture."""
    draw = Draw("pedestrian", shot.key)
    # A small crowd of its own, so that it need not be dressed anew each time; none of them has a look-alike.
    other = make_person(seed, MAX_PEOPLE - 1 - draw.below(_CROWD), 0.0)
    side = 1 if shot.occluder_x > 0.5 else -1
    yaw = 90.0 * side + draw.between(-50, 50) + (180 if draw.chance(0.5) else 0)
    frame = replace(
        shot.frame, fill=shot.frame.fill * 1.12, top=shot.frame.top + 0.03, left=side * draw.between(0.36, 0.52)
    )
    sight = replace(shot.sight, yaw=yaw, head=yaw)
    _stand(picture, other, draw_stride(draw), sight, frame, planes, light, shadow)


def _grid(shot: Shot) -> tuple[Float, Float]:
    """Rows [H, 1] and columns [1, W] in units of the height."""
    height, width = shot.frame.height, shot.frame.width
    unit = _F(height)
    rows, columns = (np.arange(height, dtype=_F) + _F(0.5)) / unit, (np.arange(width, dtype=_F) + _F(0.5)) / unit
    return rows[:, None], columns[None, :]


def _edge(inside: Float, shot: Shot) -> Float:
    """Coverage of a shape whose signed depth in heights is `inside`."""
    cover: Float = np.minimum(np.maximum(inside * _F(shot.frame.height) + _F(0.5), _F(0)), _F(1))
    return cover


def _paint(red: float, green: float, blue: float, infrared: float) -> Float:
    return np.array([red, green, blue, infrared * 255], _F)[:, None, None]


def _pole(shot: Shot, draw: Draw) -> tuple[Float, Float]:
    _, x = _grid(shot)
    half = draw.between(0.018, 0.035)
    off = (x - _F(shot.occluder_x * shot.frame.width / shot.frame.height)) / _F(half)
    round_off = _F(1.1) - _F(0.55) * np.minimum(np.abs(off + _F(0.3)), _F(1))
    tone = draw.pick((_paint(92, 96, 98, 0.3), _paint(60, 76, 64, 0.22), _paint(150, 150, 146, 0.55)))
    cover = np.broadcast_to(_edge((_F(1) - np.abs(off)) * _F(half), shot), (shot.frame.height, shot.frame.width))
    return cover, tone * round_off


def _railing(shot: Shot, draw: Draw) -> tuple[Float, Float]:
    y, x = _grid(shot)
    top, gap = draw.between(0.58, 0.74), draw.between(0.07, 0.1)
    bars = _F(0.009) - np.abs((x + _F(shot.occluder_x * 0.1)) % _F(gap) - _F(gap / 2))
    rails = np.maximum(_F(0.014) - np.abs(y - _F(top)), _F(0.01) - np.abs(y - _F(0.95)))
    shape = np.maximum(np.minimum(bars, y - _F(top)), rails)
    return _edge(shape, shot), draw.pick(
        (_paint(44, 48, 52, 0.15), _paint(172, 174, 176, 0.6), _paint(40, 70, 58, 0.2))
    )


def _bush(shot: Shot, draw: Draw) -> tuple[Float, Float]:
    y, x = _grid(shot)
    rows = (draw.below(256) + np.arange(y.size) * 128 // y.size) % 256
    columns = (draw.below(256) + np.arange(x.size) * 128 // y.size) % 256
    leaves, clumps = smooth_noise(4)[rows][:, columns], smooth_noise(16)[rows][:, columns]
    slope = (x - _F(shot.occluder_x * 0.5)) * _F(0.5 if shot.occluder_x > 0.5 else -0.5)
    top = _F(draw.between(0.62, 0.78)) - slope + _F(0.06) * clumps + _F(0.03) * leaves
    green = _paint(62, 92, 46, 0.82) * (_F(1) + _F(0.3) * leaves + _F(0.12) * clumps)
    return _edge(y - top, shot), green


def _car(shot: Shot, draw: Draw) -> tuple[Float, Float]:
    y, x = _grid(shot)
    top = draw.between(0.7, 0.8)
    bend = x * _F(shot.frame.height / shot.frame.width) - _F(shot.occluder_x)
    bonnet = _F(top) + bend * bend * _F(0.12)
    paints = (_paint(186, 188, 192, 0.5), _paint(36, 38, 44, 0.2), _paint(150, 30, 32, 0.45), _paint(34, 62, 118, 0.35))
    shine = _F(0.7) + _F(0.5) * np.maximum(_F(1) - np.abs(y - bonnet - _F(0.05)) * _F(12), _F(0))
    return _edge(y - bonnet, shot), draw.pick(paints) * shine


_OCCLUDERS: dict[str, Callable[[Shot, Draw], tuple[Float, Float]]] = {
    "pole": _pole, "railing": _railing, "bush": _bush, "car": _car,
}  # fmt: skip
