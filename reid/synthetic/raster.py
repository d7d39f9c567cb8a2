"""Fills strips: every pixel of every strip at once, without a loop over pixels or strips.

The windows (bounding boxes) of all strips are laid end to end in one flat list, so that one NumPy call serves them all.
Coverage is analytic: the distance of the pixel's centre to the strip's edge, clipped to one pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Index = NDArray[np.int32]
_F = np.float32


@dataclass(frozen=True)
class Pixels:
    """The pixels of P strips, N in all.

    Attributes:
        windows: [P] of (first, last, y0, y1, x0, x1): the strip's pixels are first..last of the flat arrays and fill
            rows y0..y1 and columns x0..x1 of the picture.
        strip: int32 [N], to which strip a pixel belongs.
        coverage: float32 [N], share of the pixel that is covered.
        along: float32 [N], place along the near surface, 0 at the start and 1 at the end.
        across: float32 [N], -1 at the left edge, 1 at the right one.
        facing: float32 [N], 1 where the surface faces the camera, 0 at the edges.
    """

    windows: list[tuple[int, int, int, int, int, int]]
    strip: Index
    coverage: Float
    along: Float
    across: Float
    facing: Float


@lru_cache(maxsize=4)
def _steps(n: int) -> Index:
    steps = np.arange(n, dtype=np.int32)
    steps.setflags(write=False)
    return steps


def fill(
    x0: Float,
    y0: Float,
    x1: Float,
    y1: Float,
    half: Float,
    middle: Float,
    bulge: Float,
    rounded: Float,
    height: int,
    width: int,
) -> Pixels:
    """Rasterise strips.

    Args:
        x0, y0, x1, y1: float32 [P], axes in pixels; the centre of the first pixel is at 0.5.
        half, middle: float32 [P, K], half-width and offset of the middle along the axis, in pixels.
        bulge: float32 [P], see `reid.synthetic.view.Strips`.
        rounded: float32 [P], 1: ends are half circles; 0: ends are the ellipses of a cut cylinder.
        height, width: of the picture.
    """
    count, sections = half.shape
    dx, dy = x1 - x0, y1 - y0
    length = np.maximum(np.sqrt(dx * dx + dy * dy), _F(0.6))
    ux, uy = dx / length, dy / length
    short = length < _F(0.61)
    ux, uy = np.where(short, _F(0), ux), np.where(short, _F(1), uy)
    steep = np.abs(bulge)
    end0 = half[:, 0] * np.maximum(rounded * _F(0.9), steep) + _F(0.5)
    end1 = half[:, -1] * np.maximum(rounded * _F(0.9), steep) + _F(0.5)
    windows, sizes = _windows(x0, y0, x1, y1, ux, uy, np.maximum(end0, end1), half, middle, height, width)
    total = int(sizes.sum())
    strip = np.repeat(_steps(count), sizes)
    # Pixel coordinates relative to each strip's own window, from the running number of the pixel.
    corner = np.array([(w[0], w[2], w[4], max(1, w[5] - w[4])) for w in windows], dtype=np.int32).T
    number = _steps(1 << 20)[:total] - corner[0][strip]
    wide = corner[3][strip]
    row = number // wide
    column = number - row * wide
    px = (column + corner[2][strip]).astype(_F)
    py = (row + corner[1][strip]).astype(_F)
    half_pixel = _F(0.5)
    ox, oy = x0 - half_pixel, y0 - half_pixel
    px -= ox[strip]
    py -= oy[strip]
    ax, ay = ux[strip], uy[strip]
    s = px * ax + py * ay
    t = px * ay - py * ax
    inverse = (_F(1) / length)[strip]
    u = np.clip(s * inverse, 0, 1)
    place = strip * np.int32(sections) + (u * _F(sections - 1) + half_pixel).astype(np.int32)
    breadth = half.ravel()[place]
    t -= middle.ravel()[place]
    beyond = s - u * length[strip]
    # Beyond the ends the strip narrows as an ellipse does.
    share = np.abs(beyond) * np.where(beyond < 0, (_F(1) / end0)[strip], (_F(1) / end1)[strip])
    narrow = np.sqrt(np.maximum(_F(1) - share * share, 0))
    coverage = np.clip(breadth * narrow - np.abs(t) + half_pixel, 0, 1)
    coverage = np.minimum(coverage, breadth * _F(2)) * (share < 1)
    across = np.clip(t / np.maximum(breadth, _F(0.25)), -1, 1)
    facing = np.sqrt(_F(1) - across * across)
    along = np.clip(u + (beyond + facing * breadth * bulge[strip]) * inverse, 0, 1)
    return Pixels(windows, strip, coverage, along, across, facing)


def _windows(
    x0: Float, y0: Float, x1: Float, y1: Float, ux: Float, uy: Float, end: Float, half: Float, middle: Float,
    height: int, width: int,
) -> tuple[list[tuple[int, int, int, int, int, int]], NDArray[np.int32]]:  # fmt: skip
    """The bounding box of each strip inside the picture, and its number of pixels."""
    thick = np.max(half + np.abs(middle), axis=1)
    reach_x = np.abs(uy) * thick + np.abs(ux) * end + _F(1)
    reach_y = np.abs(ux) * thick + np.abs(uy) * end + _F(1)
    left = np.clip(np.floor(np.minimum(x0, x1) - reach_x), 0, width).astype(np.int32)
    right = np.clip(np.ceil(np.maximum(x0, x1) + reach_x), 0, width).astype(np.int32)
    top = np.clip(np.floor(np.minimum(y0, y1) - reach_y), 0, height).astype(np.int32)
    bottom = np.clip(np.ceil(np.maximum(y0, y1) + reach_y), 0, height).astype(np.int32)
    sizes = (right - left) * (bottom - top)
    last = np.cumsum(sizes)
    return list(
        zip(
            (last - sizes).tolist(), last.tolist(), top.tolist(), bottom.tolist(), left.tolist(), right.tolist(),
            strict=True,
        )
    ), sizes  # fmt: skip
