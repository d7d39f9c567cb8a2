"""A figure seen by a camera: every part becomes a strip in the picture.

The camera stands in front of the person at some height and looks down. Turned by the view angle, a joint (x, y, z)
in cm lies at depth d towards the camera and is drawn at a scale that grows with D / (D - d), D being the camera's
distance. An elliptical section of half-widths (side, deep), turned by an angle, has half-width
sqrt((side cos)^2 + (deep sin)^2): the support function of an ellipse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reid.synthetic.angles import cos, sin
from reid.synthetic.figure import Figure
from reid.synthetic.pose import INDEX, Point

Float = NDArray[np.float32]
_F = np.float32


@dataclass(frozen=True)
class Sight:
    """How a camera looks at a person.

    Attributes:
        yaw: view angle in degrees: 0 from the front, 90 the person looks to the right of the picture, 180 from behind.
        head: yaw of the head. tilt: how far the camera looks down, degrees. distance: in cm.
    """

    yaw: float
    head: float
    tilt: float
    distance: float


@dataclass(frozen=True)
class Frame:
    """How the crop lies about the person.

    Attributes:
        height, width: of the image in pixels.
        fill: share of the height that the person from crown to sole takes up; more than 1 cuts.
        top: share of the height above the crown; negative cuts the head. left: shift of the middle, share of the width.
        stretch: horizontal scale relative to the vertical one.
    """

    height: int
    width: int
    fill: float
    top: float
    left: float
    stretch: float


@dataclass(frozen=True)
class Strips:
    """Parts in the picture, ready to be filled. P parts in painting order.

    Attributes:
        part: int [P], index into the figure's parts.
        x0, y0, x1, y1: float32 [P], the axes in pixels.
        half, middle: float32 [P, FINE], half-width of the strip and how far its middle lies right of the axis.
        bulge: float32 [P], how far the near surface bends along the axis, as a share of the half-width.
        round_start, round_end, boxy: float32 [P], see `reid.synthetic.part.Part`. yaw: float64 [P], degrees.
        unit: pixels per cm at the person's middle.
        feet: y in pixels of the lower foot, and the x between the feet.
    """

    part: NDArray[np.intp]
    x0: Float
    y0: Float
    x1: Float
    y1: Float
    half: Float
    middle: Float
    bulge: Float
    round_start: Float
    round_end: Float
    boxy: Float
    yaw: NDArray[np.float64]
    unit: float
    feet: tuple[float, float]


def look(figure: Figure, joints: Sequence[Point], sight: Sight, frame: Frame) -> Strips:
    """The parts of a figure as a camera sees them, in painting order, back to front."""
    place = np.array(joints, dtype=_F)
    c, s = _F(cos(sight.yaw)), _F(sin(sight.yaw))
    down, flat = _F(sin(sight.tilt)), _F(cos(sight.tilt))
    x = place[:, 0] * c + place[:, 2] * s
    z = place[:, 2] * c - place[:, 0] * s
    y = place[:, 1]
    depth = z * flat + (y - _F(100.0)) * down
    scale = _F(sight.distance) / (_F(sight.distance) - depth)
    across, below = x * scale, (z * down - y * flat) * scale
    crown, sole = INDEX["crown"], [INDEX[f"{a} {b}"] for a in ("left", "right") for b in ("heel", "toe")]
    top, bottom = float(below[crown]) - 2.0, max(float(below[i]) for i in sole) + 3.0
    unit = frame.height * frame.fill / (bottom - top)
    wide = unit * frame.stretch
    centre = (float(across[INDEX["hips"]]) + float(across[INDEX["neck"]])) / 2
    px = (across - _F(centre)) * _F(wide) + _F(frame.width * (0.5 + frame.left))
    py = (below - _F(top)) * _F(unit) + _F(frame.height * frame.top)
    order = _painting_order(figure, z, sight)
    starts, ends = figure.starts[order], figure.ends[order]
    headed = figure.headed[order]
    cosine = np.where(headed, _F(cos(sight.head)), c)[:, None]
    sine = np.where(headed, _F(sin(sight.head)), s)[:, None]
    side, deep = figure.side[order] * cosine, figure.deep[order] * sine
    grow = np.arange(side.shape[1], dtype=_F) / _F(side.shape[1] - 1)
    joint = np.stack([px, py, scale, x, y, z])
    begin, end = joint[:, starts], joint[:, ends]
    axis = end - begin
    # Strips are mostly upright, so their width stretches as the picture does.
    size = (begin[2][:, None] + axis[2][:, None] * grow) * _F((unit + wide) / 2)
    length = np.sqrt(axis[3] * axis[3] + axis[4] * axis[4] + axis[5] * axis[5])
    towards = axis[4] * down + axis[5] * flat
    feet = (float(py[sole[0]] + py[sole[2]]) / 2, float(px[sole[0]] + px[sole[2]]) / 2)
    return Strips(
        order,
        begin[0],
        begin[1],
        end[0],
        end[1],
        np.sqrt(side * side + deep * deep) * size,
        figure.shift[order] * sine * size,
        # The faces of a box do not bend.
        towards / np.maximum(length, _F(0.5)) * (_F(1) - figure.boxy[order] * _F(0.6)),
        figure.round_start[order],
        figure.round_end[order],
        figure.boxy[order],
        np.where(headed, sight.head, sight.yaw),
        unit,
        (max(float(py[i]) for i in sole), feet[1]),
    )


def _painting_order(figure: Figure, z: Float, sight: Sight) -> NDArray[np.intp]:
    """Indices of the parts from back to front; `z` [joints] is the depth towards the camera."""
    front, head_front = cos(sight.yaw), cos(sight.head)

    def depth(*names: str) -> float:
        return sum(float(z[INDEX[name]]) for name in names) / len(names)

    keys = {"trunk": 0.0, "head": 10.0, "hood": -8.0 if front > 0.2 else 7.0, "hat": 14.0}
    for side in ("left", "right"):
        keys[side] = -60.0 + max(-9.0, min(9.0, depth(f"{side} knee", f"{side} ankle") * 0.2))
        arm = depth(f"{side} elbow", f"{side} wrist", f"{side} shoulder")
        keys[f"{side} arm"] = 30.0 + arm * 0.1 if arm > -1.5 else -80.0 + arm * 0.1
    keys["hair"] = -12.0 if head_front > 0.25 else 12.0
    keys["strand"] = 13.0 if head_front > 0.1 else -13.0
    keys["brim"] = 16.0 if head_front > -0.2 else 8.0
    keys["backpack"] = 20.0 if front < 0.2 else -40.0
    keys["side bag"] = 26.0 if depth("bag top") > -4 else -90.0
    keys["held"] = keys["right arm"] - 1.5
    keys["suitcase"] = 40.0 if depth("bag top") > 0 else -90.0
    sort = [(keys[part.order] + 0.2 * part.layer, i) for i, part in enumerate(figure.parts)]
    return np.array([i for _, i in sorted(sort)])
