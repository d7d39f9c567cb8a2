"""Fills strips: every pixel of every strip at once, without a loop over pixels or strips.

The windows (bounding boxes) of all strips are laid end to end in one flat list, so that one NumPy call serves them all.
Coverage is analytic: the distance of the pixel's centre to the strip's edge, clipped to one pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Scalar = TypeVar("Scalar", bound=np.generic)
_F = np.float32


@dataclass(frozen=True)
class Pixels:
    """The pixels of P strips, N in all.

    Attributes:
        windows: [P] of (first, last, y0, y1, x0, x1): the strip's pixels are first..last of the flat arrays and fill
            rows y0..y1 and columns x0..x1 of the picture.
        sizes: int64 [P], how many pixels each strip has.
        coverage: float32 [N], share of the pixel that is covered.
        along: float32 [N], place along the near surface, 0 at the start and 1 at the end.
        across: float32 [N], -1 at the left edge, 1 at the right one.
        facing: float32 [N], 1 where the surface faces the camera, 0 at the edges.
    """

    windows: list[tuple[int, int, int, int, int, int]]
    sizes: NDArray[np.int64]
    coverage: Float
    along: Float
    across: Float
    facing: Float

    def spread(self, values: NDArray[Scalar]) -> NDArray[Scalar]:
        """One value per strip [P] -> one per pixel [N]."""
        return np.repeat(values, self.sizes)


@lru_cache(maxsize=4)
def _steps(n: int) -> NDArray[np.int64]:
    steps = np.arange(n, dtype=np.int64)
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
    round_start: Float,
    round_end: Float,
    height: int,
    width: int,
) -> Pixels:
    """Rasterise strips.

    Args:
        x0, y0, x1, y1: float32 [P], axes in pixels; the centre of the first pixel is at 0.5.
        half, middle: float32 [P, K], half-width and offset of the middle along the axis, in pixels.
        bulge: float32 [P], see `reid.synthetic.view.Strips`.
        round_start, round_end: float32 [P], see `reid.synthetic.part.Part`.
        height, width: of the picture.
    """
    sections = half.shape[1]
    ux, uy, length = directions(x0, y0, x1, y1)
    # The end of a cut cylinder is an ellipse.
    steep = np.abs(bulge)
    end0 = half[:, 0] * np.maximum(round_start, steep) + _F(0.5)
    end1 = half[:, -1] * np.maximum(round_end, steep) + _F(0.5)
    box = _boxes(x0, y0, x1, y1, ux, uy, np.maximum(end0, end1), half, middle, height, width)
    left, right, top, bottom = box
    high, wide = bottom - top, right - left
    sizes = high * wide
    last = np.cumsum(sizes)
    windows = list(
        zip(
            (last - sizes).tolist(), last.tolist(), *(side.tolist() for side in (top, bottom, left, right)), strict=True
        )
    )
    # Along and across are linear in x and y: one start per row of each window, one step per pixel.
    row_of = np.repeat(_steps(high.size), high)
    row = (_steps(1 << 16)[: row_of.size] - np.repeat(np.cumsum(high) - high, high) + top[row_of]).astype(_F)
    off_y = row + _F(0.5) - y0[row_of]
    off_x = (left.astype(_F) + _F(0.5) - x0)[row_of]
    per_row = wide[row_of]
    step = (_steps(1 << 21)[: int(last[-1])] - np.repeat(np.cumsum(per_row) - per_row, per_row)).astype(_F)
    s = np.repeat(off_x * ux[row_of] + off_y * uy[row_of], per_row) + step * np.repeat(ux, sizes)
    t = np.repeat(off_x * uy[row_of] - off_y * ux[row_of], per_row) + step * np.repeat(uy, sizes)
    inverse = np.repeat(_F(1) / length, sizes)
    u = np.minimum(np.maximum(s * inverse, _F(0)), _F(1))
    place = (u * _F(sections - 1) + _F(0.5)).astype(np.int64)
    place += np.repeat(_steps(high.size) * sections, sizes)
    breadth = half.reshape(-1)[place]
    t -= middle.reshape(-1)[place]
    # Beyond the ends the strip narrows as an ellipse does.
    before = np.maximum(-s, _F(0))
    behind = np.maximum(s - np.repeat(length, sizes), _F(0))
    share = before * np.repeat(_F(1) / end0, sizes) + behind * np.repeat(_F(1) / end1, sizes)
    narrow = np.sqrt(np.maximum(_F(1) - share * share, _F(0)))
    coverage = np.maximum(np.minimum(breadth * narrow - np.abs(t) + _F(0.5), _F(1)), _F(0))
    coverage = np.minimum(coverage, breadth * _F(2)) * (share < 1)
    across = np.minimum(np.maximum(t / np.maximum(breadth, _F(0.25)), _F(-1)), _F(1))
    facing = np.sqrt(_F(1) - across * across)
    along = u + (behind - before + facing * breadth * np.repeat(bulge, sizes)) * inverse
    return Pixels(windows, sizes, coverage, np.minimum(np.maximum(along, _F(0)), _F(1)), across, facing)


def directions(x0: Float, y0: Float, x1: Float, y1: Float) -> tuple[Float, Float, Float]:
    """Unit vectors (right, down) and lengths of axes, float32 [P] each; an axis seen end-on points down."""
    dx, dy = x1 - x0, y1 - y0
    far = np.sqrt(dx * dx + dy * dy)
    short = far < _F(0.6)
    length = np.where(short, _F(0.6), far)
    return np.where(short, _F(0), dx / length), np.where(short, _F(1), dy / length), length


def _boxes(
    x0: Float,
    y0: Float,
    x1: Float,
    y1: Float,
    ux: Float,
    uy: Float,
    end: Float,
    half: Float,
    middle: Float,
    height: int,
    width: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The bounding box of each strip inside the picture: left, right, top, bottom, int64 [P] each."""
    thick = np.max(half + np.abs(middle), axis=1)
    reach_x = np.abs(uy) * thick + np.abs(ux) * end + _F(0.5)
    reach_y = np.abs(ux) * thick + np.abs(uy) * end + _F(0.5)
    left = np.clip(np.floor(np.minimum(x0, x1) - reach_x), 0, width).astype(np.int64)
    right = np.clip(np.ceil(np.maximum(x0, x1) + reach_x), 0, width).astype(np.int64)
    top = np.clip(np.floor(np.minimum(y0, y1) - reach_y), 0, height).astype(np.int64)
    bottom = np.clip(np.ceil(np.maximum(y0, y1) + reach_y), 0, height).astype(np.int64)
    return left, right, top, bottom
