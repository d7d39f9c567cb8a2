"""Backgrounds: one wide scene per camera, of which every shot shows another part.

A scene is painted once, in visible colours and in near-infrared reflectance: asphalt is dark in both, leaves are dark
green and bright. Coordinates are in heights of the final image: x from 0 to `WIDE`, y from 0 to `TALL` downwards.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from reid.synthetic.draw import Draw, smooth_noise

WIDE, TALL = 2.5, 1.4
Float = NDArray[np.float32]
Mask = NDArray[np.bool_]
Colour = tuple[float, float, float]
_F = np.float32


class Board:
    """The scene while it is painted, at twice the final resolution. `x`, `y`: coordinates of the pixels."""

    def __init__(self, height: int, key: tuple[int | str, ...]) -> None:
        self.rows, self.columns = round(height * TALL) * 2, round(height * WIDE) * 2
        unit = _F(2.0 * height)
        self.y = ((np.arange(self.rows, dtype=_F) + _F(0.5)) / unit)[:, None]
        self.x = ((np.arange(self.columns, dtype=_F) + _F(0.5)) / unit)[None, :]
        self.planes = np.zeros((4, self.rows, self.columns), _F)
        self.draw = Draw("scene", *key)

    def paint(self, where: Mask, colour: Colour, infrared: float, cover: float = 1.0) -> None:
        """Paint a colour (0..255) and reflectance (0..1); `cover` less than 1 lets the ground shine through."""
        value = np.array((*colour, infrared * 255.0), _F)
        full = np.broadcast_to(where, self.planes.shape[1:])
        for plane, tone in zip(self.planes, value, strict=True):
            plane[full] += (tone - plane[full]) * _F(cover)

    def shade(self, factor: Float) -> None:
        """Multiply all planes by a factor per pixel."""
        self.planes *= factor

    def noise(self, cell: int, stretch_x: int = 1, stretch_y: int = 1) -> Float:
        """Cloudy noise in [-1, 1], float32 [rows, columns]; `stretch_*` makes bumps longer."""
        table, top, left = smooth_noise(cell), self.draw.below(256), self.draw.below(256)
        rows = (top + np.arange(self.rows) // stretch_y) % 256
        columns = (left + np.arange(self.columns) // stretch_x) % 256
        return table[rows][:, columns]

    def box(self, left: float, right: float, top: float, bottom: float) -> Mask:
        """The pixels of a rectangle."""
        inside: Mask = (self.x >= left) & (self.x < right) & (self.y >= top) & (self.y < bottom)
        return inside

    def lines(self, low: float, high: float, first: float, grow: float, wide: float) -> Mask:
        """Horizontal lines from y = low to high, each gap `grow` times the one before: a floor in perspective."""
        mask = np.zeros((self.rows, 1), bool)
        y, gap = low + first, first
        while y < high:
            mask |= np.abs(self.y - _F(y)) < wide
            gap *= grow
            y += gap
        return mask & (self.x >= 0)

    def spokes(self, floor: float, gap: float, wide: float) -> Mask:
        """Lines on the floor that run away from the viewer."""
        vanish_x, vanish_y = WIDE / 2, floor - 0.9
        at = (self.x - _F(vanish_x)) / (self.y - _F(vanish_y)) * _F(1.4)
        inside: Mask = (np.abs(at % _F(gap) - _F(gap / 2)) < wide) & (self.y > floor)
        return inside


def _floor(board: Board, floor: float, colour: Colour, infrared: float, rough: float) -> None:
    board.paint(board.y >= floor, colour, infrared)
    depth = np.where(board.y >= floor, _F(0.86) + _F(0.22) * (board.y - _F(floor)) / _F(TALL - floor), _F(1))
    board.shade(depth * np.where(board.y >= floor, _F(1) + _F(rough) * board.noise(2), _F(1)))
    board.shade(np.where(board.y >= floor, _F(1) + _F(rough) * board.noise(32, 2), _F(1)))


def _slabs(board: Board, floor: float) -> None:
    draw = board.draw
    joint = board.lines(floor, TALL, 0.05, 1.28, 0.005) | board.spokes(floor, draw.between(0.2, 0.34), 0.006)
    board.shade(np.where(joint & (board.y > floor), _F(0.8), _F(1)))


def _windows(board: Board, floor: float, glass: Colour) -> None:
    """A facade's windows in rows."""
    draw = board.draw
    step, wide, tall = draw.between(0.36, 0.6), draw.between(0.18, 0.3), draw.between(0.22, 0.36)
    x = draw.between(-0.3, 0)
    while x < WIDE:
        for top in (floor - 0.92, floor - 0.46):
            frame = board.box(x - 0.02, x + wide + 0.02, top - 0.02, top + tall + 0.02)
            board.paint(frame, (214, 212, 206), 0.7)
            board.paint(board.box(x, x + wide, top, top + tall), glass, 0.12)
            board.paint(board.box(x, x + wide * 0.9, top, top + tall * 0.4), (150, 170, 186), 0.25, 0.35)
            board.paint(board.box(x + wide / 2 - 0.008, x + wide / 2 + 0.008, top, top + tall), (214, 212, 206), 0.7)
        x += step


def _street(board: Board, floor: float) -> None:
    draw = board.draw
    wall: Colour = draw.pick(((176, 160, 140), (150, 152, 158), (196, 186, 166), (140, 110, 96)))
    board.paint(board.y < floor, wall, draw.between(0.4, 0.65))
    board.shade(_F(1) + _F(0.05) * board.noise(64))
    _windows(board, floor - 0.02, (62, 74, 88))
    board.paint(board.box(0, WIDE, floor - 0.05, floor), (92, 88, 84), 0.3)
    _floor(board, floor, draw.pick(((158, 156, 152), (136, 134, 132), (170, 160, 146))), 0.45, 0.05)
    _slabs(board, floor)


def _brick(board: Board, floor: float) -> None:
    draw = board.draw
    base: Colour = draw.pick(((146, 80, 62), (164, 104, 78), (120, 84, 74)))
    board.paint(board.y < floor, base, 0.5)
    course, brick = _F(0.045), _F(0.12)
    row = np.floor(board.y / course)
    tone = smooth_noise(1)[
        (row.astype(np.int32) * 37) % 256, (np.floor(board.x / brick + (row % 2) / 2)).astype(np.int32) * 11 % 256
    ]
    board.shade(np.where(board.y < floor, _F(1) + _F(0.12) * tone, _F(1)))
    joint = (board.y % course < 0.007) | ((board.x + (row % 2) * brick / 2) % brick < 0.007)
    board.paint(joint & (board.y < floor), (176, 168, 158), 0.55, 0.7)
    x = draw.between(0.2, 0.8)
    while x < WIDE:
        board.paint(
            board.box(x, x + 0.34, floor - 0.85, floor), draw.pick(((52, 66, 60), (72, 52, 44), (46, 58, 84))), 0.25
        )
        board.shade(np.where(board.box(x + 0.04, x + 0.3, floor - 0.8, floor - 0.45), _F(1.3), _F(1)))
        x += draw.between(0.9, 1.4)
    _floor(board, floor, (142, 140, 138), 0.42, 0.06)
    _slabs(board, floor)


def _park(board: Board, floor: float) -> None:
    draw = board.draw
    board.paint(board.y < floor, (96, 116, 84), 0.72)
    leaves = board.noise(8) + _F(0.6) * board.noise(4) + _F(0.5) * board.noise(32)
    board.paint((leaves > 0.25) & (board.y < floor), (58, 86, 48), 0.82)
    board.paint((leaves > 0.75) & (board.y < floor), (112, 140, 78), 0.92)
    board.paint((leaves < -0.85) & (board.y < floor - 0.3), (196, 212, 222), 0.55)
    _floor(board, floor, draw.pick(((92, 118, 60), (108, 126, 70))), 0.84, 0.16)
    x = draw.between(0, 0.3)
    while x < WIDE:
        wide = draw.between(0.04, 0.09)
        base = floor + draw.between(0.0, 0.1)
        board.paint(board.box(x, x + wide, 0, base), (74, 60, 48), 0.5)
        board.paint(board.box(x + wide * 0.6, x + wide, 0, base), (50, 42, 34), 0.4)
        x += draw.between(0.35, 0.8)
    path = np.abs(board.x - _F(WIDE / 2) + (board.y - _F(floor)) * _F(0.3) * board.noise(64)) < _F(0.9) + (
        board.y - _F(floor)
    )
    board.paint(path & (board.y > floor + 0.06), (172, 158, 134), 0.5, 0.85)


def _corridor(board: Board, floor: float) -> None:
    draw = board.draw
    wall: Colour = draw.pick(((206, 204, 194), (188, 198, 200), (214, 202, 178)))
    board.paint(board.y < floor, wall, 0.72)
    board.paint(board.box(0, WIDE, floor - 0.42, floor), tuple(c * 0.84 for c in wall), 0.6)  # type: ignore[arg-type]
    board.paint(board.box(0, WIDE, floor - 0.43, floor - 0.41), (120, 112, 104), 0.4)
    x = draw.between(0.1, 0.6)
    door: Colour = draw.pick(((128, 92, 62), (88, 104, 120), (150, 60, 50), (70, 110, 90)))
    while x < WIDE:
        board.paint(board.box(x - 0.03, x + 0.41, floor - 1.0, floor), (232, 230, 224), 0.75)
        board.paint(board.box(x, x + 0.38, floor - 0.97, floor), door, 0.5)
        board.paint(board.box(x + 0.31, x + 0.35, floor - 0.48, floor - 0.45), (210, 206, 190), 0.8)
        board.paint(board.box(x + 0.12, x + 0.26, floor - 0.85, floor - 0.55), (170, 186, 194), 0.3)
        x += draw.between(0.75, 1.2)
    board.paint(board.box(0, WIDE, floor - 0.035, floor), (84, 80, 78), 0.3)
    _floor(board, floor, draw.pick(((176, 176, 170), (150, 138, 124), (120, 132, 140))), 0.5, 0.02)
    _slabs(board, floor)
    shine = np.clip(_F(1) - np.abs(board.x % _F(0.9) - _F(0.45)) * _F(5), 0, 1) * (board.y > floor)
    board.shade(_F(1) + _F(0.14) * shine)


def _platform(board: Board, floor: float) -> None:
    draw = board.draw
    board.paint(board.y < floor, (70, 74, 82), 0.3)
    stripe: Colour = draw.pick(((176, 44, 44), (40, 92, 160), (40, 130, 90)))
    board.paint(board.box(0, WIDE, floor - 0.75, floor - 0.05), (188, 192, 196), 0.55)
    board.paint(board.box(0, WIDE, floor - 0.28, floor - 0.2), stripe, 0.4)
    x = draw.between(-0.2, 0.1)
    while x < WIDE:
        board.paint(board.box(x, x + 0.42, floor - 0.66, floor - 0.36), (44, 52, 62), 0.12)
        board.paint(board.box(x + 0.5, x + 0.68, floor - 0.68, floor - 0.05), (150, 154, 160), 0.5)
        x += 0.78
    _floor(board, floor, (146, 144, 142), 0.42, 0.05)
    board.paint(board.box(0, WIDE, floor + 0.03, floor + 0.07), (216, 186, 60), 0.65)
    _slabs(board, floor + 0.07)
    x = draw.between(0.3, 0.9)
    while x < WIDE:
        board.paint(board.box(x, x + 0.09, 0, floor + 0.12), (206, 206, 198), 0.65)
        board.paint(board.box(x + 0.06, x + 0.09, 0, floor + 0.12), (150, 150, 146), 0.5)
        x += draw.between(0.9, 1.3)


def _car_park(board: Board, floor: float) -> None:
    draw = board.draw
    board.paint(board.y < floor, draw.pick(((150, 152, 150), (112, 118, 124))), 0.4)
    board.shade(_F(1) + _F(0.07) * board.noise(32, 4, 1))
    board.paint(board.box(0, WIDE, floor - 0.8, floor - 0.74), (84, 86, 88), 0.3)
    _floor(board, floor, (98, 98, 102), 0.28, 0.12)
    x = draw.between(-0.3, 0.1)
    while x < WIDE:
        paint: Colour = draw.pick(
            ((188, 190, 194), (40, 42, 48), (150, 32, 34), (36, 66, 120), (226, 226, 222), (96, 104, 92))
        )
        wide, low = draw.between(0.75, 0.95), floor + 0.06
        roof = (np.abs(board.x - _F(x + wide / 2)) < (board.y - _F(low - 0.42)) * _F(0.4) + _F(wide * 0.24)) & (
            board.y > low - 0.4
        )
        board.paint(roof & (board.y < low - 0.2), paint, 0.45)
        glass = (np.abs(board.x - _F(x + wide / 2)) < (board.y - _F(low - 0.42)) * _F(0.4) + _F(wide * 0.2)) & (
            board.y > low - 0.37
        )
        board.paint(glass & (board.y < low - 0.23), (52, 62, 74), 0.12)
        board.paint(board.box(x, x + wide, low - 0.23, low - 0.04), paint, 0.45)
        board.shade(np.where(board.box(x, x + wide, low - 0.1, low - 0.04), _F(0.72), _F(1)))
        for wheel in (x + 0.15, x + wide - 0.15):
            far = (board.x - _F(wheel)) ** 2 + (board.y - _F(low - 0.04)) ** 2
            board.paint(far < 0.0052, (24, 24, 26), 0.08)
            board.paint(far < 0.0014, (150, 152, 156), 0.5)
        x += wide + draw.between(0.1, 0.35)
    board.paint(board.spokes(floor + 0.08, 0.62, 0.02) & (board.y > floor + 0.08), (214, 214, 206), 0.7, 0.85)


def _lobby(board: Board, floor: float) -> None:
    draw = board.draw
    board.paint(board.y < floor, (172, 190, 200), 0.34)
    board.paint((board.noise(64) + board.noise(32) > 0.1) & (board.y < floor - 0.2), (206, 216, 220), 0.42, 0.7)
    board.paint(board.box(0, WIDE, floor - 0.3, floor), (110, 122, 116), 0.4, 0.6)
    x = draw.between(0, 0.3)
    while x < WIDE:
        board.paint(board.box(x, x + 0.035, 0, floor), (64, 68, 74), 0.2)
        x += draw.between(0.4, 0.6)
    board.paint(board.box(0, WIDE, floor - 0.55, floor - 0.52), (64, 68, 74), 0.2)
    board.paint(board.box(0, WIDE, floor - 0.03, floor), (64, 68, 74), 0.2)
    _floor(board, floor, draw.pick(((190, 182, 170), (120, 116, 114), (160, 148, 138))), 0.55, 0.03)
    _slabs(board, floor)
    pot = draw.between(0.3, 2.0)
    leaf = ((board.x - _F(pot)) ** 2 * _F(1.6) + (board.y - _F(floor - 0.3)) ** 2 < _F(0.05)) & (board.noise(4) > -0.3)
    board.paint(leaf, (52, 96, 46), 0.88)
    board.paint(board.box(pot - 0.1, pot + 0.1, floor - 0.14, floor + 0.05), (180, 120, 84), 0.5)


def _crossing(board: Board, floor: float) -> None:
    draw = board.draw
    board.paint(board.y < floor, (170, 186, 200), 0.3)
    x = 0.0
    while x < WIDE:
        wide, top = draw.between(0.3, 0.7), floor - draw.between(0.35, 0.95)
        tone: Colour = draw.pick(((150, 140, 130), (120, 124, 132), (172, 150, 126), (140, 150, 150)))
        board.paint(board.box(x, x + wide, top, floor), tone, draw.between(0.3, 0.6))
        for pane in range(1, 5):
            board.paint(
                board.box(x + wide * (pane / 5 - 0.05), x + wide * (pane / 5 + 0.05), top + 0.06, floor - 0.25)
                & (board.y % _F(0.14) < 0.08),
                (70, 82, 96),
                0.15,
            )
        x += wide
    _floor(board, floor, (92, 92, 96), 0.26, 0.1)
    board.paint(board.box(0, WIDE, floor, floor + 0.045), (170, 168, 162), 0.45)
    board.paint(board.spokes(floor, 0.3, 0.07) & (board.y > floor + 0.16), (222, 222, 216), 0.72, 0.9)


def _hedge(board: Board, floor: float) -> None:
    draw = board.draw
    board.paint(board.y < floor, (182, 196, 206), 0.3)
    bush = board.noise(4) + _F(0.7) * board.noise(8)
    edge = _F(floor - draw.between(0.4, 0.75)) + _F(0.03) * board.noise(16)
    inside = (board.y > edge) & (board.y < floor)
    board.paint(inside, (54, 78, 42), 0.8)
    board.paint(inside & (bush > 0.3), (92, 120, 62), 0.92)
    board.paint(inside & (bush < -0.5), (32, 48, 28), 0.6)
    x = draw.between(0, 0.1)
    while x < WIDE:
        board.paint(board.box(x, x + 0.014, floor - 0.36, floor + 0.02), (40, 44, 46), 0.12)
        x += 0.085
    board.paint(board.box(0, WIDE, floor - 0.36, floor - 0.335), (40, 44, 46), 0.12)
    _floor(board, floor, draw.pick(((150, 140, 128), (160, 158, 156))), 0.45, 0.07)
    _slabs(board, floor)


SCENES: tuple[Callable[[Board, float], None], ...] = (
    _street, _park, _corridor, _brick, _platform, _car_park, _lobby, _crossing, _hedge,
)  # fmt: skip


@lru_cache(maxsize=32)
def make_scene(seed: int, number: int, tilt: float, height: int) -> NDArray[np.uint8]:
    """A scene, uint8 [4, rows, columns]: red, green, blue, near-infrared, for images `height` pixels high.

    Args:
        seed, number: which scene.
        tilt: of the camera in degrees; one that looks down sees more floor.
    """
    board = Board(height, (seed, number))
    floor = 0.98 - 0.018 * tilt
    SCENES[number % len(SCENES)](board, floor)
    halved = board.planes.reshape(4, board.rows // 2, 2, board.columns // 2, 2)
    mean = (halved[:, :, 0, :, 0] + halved[:, :, 0, :, 1] + halved[:, :, 1, :, 0] + halved[:, :, 1, :, 1]) * _F(0.25)
    scene: NDArray[np.uint8] = np.clip(mean + _F(0.5), 0, 255).astype(np.uint8)
    scene.setflags(write=False)
    return scene
