"""Cameras and the moments they catch: what an image depends on apart from the person.

A camera is fixed by (seed, its name); a shot by (seed, person, camera, number). Visible cameras are called c1, c2, ...,
infrared ones n1, n2, ...; each hangs at its own place and sees its own scene.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from reid.synthetic.angles import sin
from reid.synthetic.draw import Draw
from reid.synthetic.pose import Stride, draw_stride
from reid.synthetic.view import Frame, Sight

OCCLUDERS = ("pole", "railing", "bush", "car", "pedestrian")


@dataclass(frozen=True)
class Camera:
    """One camera.

    Attributes:
        name: "c1", "n2", ...
        scene: number of the background. infrared: whether it sees 850 nm only.
        tilt: degrees below the horizon. distance: to the people, cm.
        gains: white balance, a factor per channel. exposure, contrast, saturation: factors, 1 is faithful.
        noise: standard deviation of the grain, 0..255. sharpness: share of the resolution that is left.
        light: direction that light comes from (right, down, towards the camera); ambient: share that has none.
    """

    name: str
    scene: int
    infrared: bool
    tilt: float
    distance: float
    gains: tuple[float, float, float]
    exposure: float
    contrast: float
    saturation: float
    noise: float
    sharpness: float
    light: tuple[float, float, float]
    ambient: float


@dataclass(frozen=True)
class Shot:
    """One moment before a camera: pose, direction, framing, light and what stands in the way.

    Attributes:
        stride, sight, frame: see there.
        scene_x, scene_y: which part of the scene lies behind, 0..1.
        brightness: of the light at that moment, about 1. warmth: colour drift, about 0.
        motion: blur from movement, 0..1.
        occluder: one of `OCCLUDERS` or None; occluder_x: where it stands, 0..1 of the width.
        key: for whatever else is random.
    """

    stride: Stride
    sight: Sight
    frame: Frame
    scene_x: float
    scene_y: float
    brightness: float
    warmth: float
    motion: float
    occluder: str | None
    occluder_x: float
    key: int


@lru_cache(maxsize=256)
def make_camera(seed: int, name: str) -> Camera:
    """The camera of this name in the world of this seed."""
    infrared, number = name.startswith("n"), int(name[1:])
    draw = Draw("camera", seed, name)
    warm = draw.bell(0.14)
    tint = draw.bell(0.05)
    turn = draw.between(-70, 70)
    # Scenes are dealt in turn so that the first cameras of a world do not look alike.
    first = Draw("scenes", seed).below(64)
    return Camera(
        name=name,
        scene=first + number + (5 if infrared else 0),
        infrared=infrared,
        tilt=draw.between(3, 22),
        distance=draw.between(450, 1400),
        gains=(1 + warm, 1 + tint, 1 - warm),
        exposure=draw.between(0.86, 1.2),
        contrast=draw.between(0.82, 1.15),
        saturation=draw.between(0.6, 1.02),
        noise=draw.between(1.5, 6.5) if not infrared else draw.between(3.0, 8.0),
        sharpness=draw.pick((1.0, 1.0, 0.8, 0.66, 0.5)),
        light=(round(0.8 * sin(turn), 4), draw.between(-0.75, -0.3), draw.between(0.3, 0.6)),
        ambient=draw.between(0.42, 0.68),
    )


def take_shot(seed: int, person: int, camera: Camera, number: int, height: int, width: int) -> Shot:
    """The moment at which `camera` catches a person for the `number`-th time."""
    draw = Draw("shot", seed, person, camera.name, number)
    stride = draw_stride(draw)
    yaw = 45.0 * draw.below(8) + draw.between(-20, 20)
    cut = draw.chance(0.07)
    fill = draw.between(1.12, 1.4) if cut else draw.between(0.86, 0.97)
    occluder = draw.weighted((("", 82), *((name, 3) for name in OCCLUDERS)))
    return Shot(
        stride=stride,
        sight=Sight(
            yaw, yaw + stride.turn, max(0.0, camera.tilt + draw.bell(3)), camera.distance * draw.between(0.8, 1.25)
        ),
        frame=Frame(
            height,
            width,
            fill,
            draw.between(0.015, 0.05) if cut else draw.between(0.1, 0.9) * (0.99 - fill),
            draw.bell(0.045),
            draw.between(0.92, 1.14),
        ),
        scene_x=draw.between(0, 1),
        scene_y=draw.between(0, 1),
        brightness=draw.between(0.84, 1.16),
        warmth=draw.bell(0.03),
        motion=draw.between(0.2, 0.9) if draw.chance(0.2) else 0.0,
        occluder=occluder or None,
        occluder_x=draw.between(0, 1),
        key=draw.word(),
    )
