"""Fills strips: every pixel of every strip at once, without a loop over pixels or strips.

The rows of all strips are laid end to end in one list, and the pixels of all rows in another, so that one NumPy call
serves them all. Coverage is analytic: the distance of the pixel's centre to the strip's edge, clipped to one pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Whole = NDArray[np.int64]
Scalar = TypeVar("Scalar", bound=np.generic)
_F = np.float32


@dataclass(frozen=True)
class Pixels:
    """The pixels of P strips, N in all, strip after strip.

    Attributes:
        sizes: int64 [P], how many pixels each strip has.
        position: int64 [N], y * width + x.
        coverage: float32 [N], share of the pixel that is covered.
        along: float32 [N], place along the near surface, 0 at the start and 1 at the end.
        across: float32 [N], -1 at the left edge, 1 at the right one.
        facing: float32 [N], 1 where the surface faces the camera, 0 at the edges.
    """

    sizes: Whole
    position: Whole
    coverage: Float
    along: Float
    across: Float
    facing: Float

    def spread(self, values: NDArray[Scalar]) -> NDArray[Scalar]:
        """One value per strip [P] -> one per pixel [N]."""
        return values.repeat(self.sizes)

    def spans(self) -> list[tuple[int, int]]:
        """First pixel and the one behind the last, for each strip."""
        last = self.sizes.cumsum().tolist()
        return list(zip([0, *last[:-1]], last, strict=True))


@lru_cache(maxsize=4)
def _steps(n: int) -> Whole:
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
    thick = (half + np.abs(middle)).max(axis=1) + _F(0.5)
    strip, row, left, wide = _rows(x0, y0, ux, uy, length, thick, end0, end1, height, width)
    # Along and across are linear in x: one start per row, one step per pixel.
    off_x, off_y = left.astype(_F) + _F(0.5) - x0[strip], row.astype(_F) + _F(0.5) - y0[strip]
    right, down = ux[strip], uy[strip]
    step_whole = _steps(1 << 21)[: int(wide.sum())] - (wide.cumsum() - wide).repeat(wide)
    position = (row * width + left).repeat(wide) + step_whole
    step = step_whole.astype(_F)
    sizes = np.bincount(strip, weights=wide, minlength=half.shape[0]).astype(np.int64)
    s = (off_x * right + off_y * down).repeat(wide) + step * ux.repeat(sizes)
    t = (off_x * down - off_y * right).repeat(wide) + step * uy.repeat(sizes)
    inverse = (_F(1) / length).repeat(sizes)
    u = _clipped(s * inverse, 0, 1)
    place = (u * _F(sections - 1) + _F(0.5)).astype(np.int64)
    place += (_steps(1 << 16)[: sizes.size] * sections).repeat(sizes)
    breadth = half.reshape(-1)[place]
    t -= middle.reshape(-1)[place]
    # Beyond the ends the strip narrows as an ellipse does.
    before = np.maximum(-s, _F(0))
    behind = np.maximum(s - length.repeat(sizes), _F(0))
    share = before * (_F(1) / end0).repeat(sizes) + behind * (_F(1) / end1).repeat(sizes)
    narrow = _half_circle(np.minimum(share, _F(1)))
    narrow *= breadth
    narrow -= np.abs(t)
    narrow += _F(0.5)
    coverage = np.minimum(_clipped(narrow, 0, 1), breadth * _F(2))
    coverage *= share < 1
    across = _clipped(t / np.maximum(breadth, _F(0.25)), -1, 1)
    facing = _half_circle(across)
    along = breadth
    along *= bulge.repeat(sizes)
    along *= facing
    along += behind - before
    along *= inverse
    along += u
    return Pixels(sizes, position, coverage, _clipped(along, 0, 1), across, facing)


def _clipped(values: Float, low: float, high: float) -> Float:
    """`values`, changed in place to lie between the two."""
    np.maximum(values, _F(low), out=values)
    np.minimum(values, _F(high), out=values)
    return values


def _half_circle(x: Float) -> Float:
    """sqrt(1 - x^2) for x in [-1, 1]."""
    y = x * x
    np.subtract(_F(1), y, out=y)
    np.sqrt(y, out=y)
    return y


def directions(x0: Float, y0: Float, x1: Float, y1: Float) -> tuple[Float, Float, Float]:
    """Unit vectors (right, down) and lengths of axes, float32 [P] each; an axis seen end-on points down."""
    dx, dy = x1 - x0, y1 - y0
    far = np.sqrt(dx * dx + dy * dy)
    short = far < _F(0.6)
    length = np.where(short, _F(0.6), far)
    return np.where(short, _F(0), dx / length), np.where(short, _F(1), dy / length), length


def _rows(
    x0: Float,
    y0: Float,
    ux: Float,
    uy: Float,
    length: Float,
    thick: Float,
    end0: Float,
    end1: Float,
    height: int,
    width: int,
) -> tuple[Whole, Whole, Whole, Whole]:
    """The rows of pixels that meet each strip's bounding rectangle, which lies aslant.

    Returns:
        For each row: the strip, y, x of the first pixel, and how many pixels.
    """
    reach = np.abs(ux) * thick
    ends = np.stack([-end0 * uy, (length + end1) * uy])
    top = np.maximum(np.floor(y0 + ends.min(axis=0) - reach), 0).astype(np.int64)
    bottom = np.minimum(np.ceil(y0 + ends.max(axis=0) + reach), height).astype(np.int64)
    high = np.maximum(bottom - top, 0)
    strip = _steps(1 << 16)[: high.size].repeat(high)
    row = _steps(1 << 20)[: strip.size] - (high.cumsum() - high - top)[strip]
    # On a row, being less than `thick` from the axis and between the ends each leaves an interval of x.
    y = row.astype(_F) + _F(0.5) - y0[strip]
    right, down = ux[strip], uy[strip]
    tiny = _F(1e-3)
    slope = np.where(np.abs(down) < tiny, tiny, down)
    middle, side = y * right / slope, np.abs(thick[strip] / slope)
    slope = np.where(np.abs(right) < tiny, tiny, right)
    first, second = (-end0[strip] - y * down) / slope, ((length + end1)[strip] - y * down) / slope
    low = np.maximum(middle - side, np.minimum(first, second)) + x0[strip]
    high_x = np.minimum(middle + side, np.maximum(first, second)) + x0[strip]
    left = np.minimum(np.maximum(np.floor(low), 0), width).astype(np.int64)
    wide = np.maximum(np.minimum(np.maximum(np.ceil(high_x), 0), width).astype(np.int64) - left, 0)
    return strip, row, left, wide
