"""Strokes on paper: polylines that stray, press and run over, all drawn at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reid.synthetic.draw import Draw, smooth_noise

Float = NDArray[np.float32]
_F = np.float32


@dataclass(frozen=True)
class Hand:
    """How an artist draws. Lengths are in 1/128 of the picture's height.

    Attributes:
        weight: half-width of a stroke. ink: its darkness, 0..1.
        wobble: how far a stroke strays. overshoot: how far it runs on beyond its ends.
        passes: how often an outline is gone over. forgets: probability that an inner line is left out.
        hatch: distance of hatching lines, 0: none. slope: their direction, dx per dy.
        smudge: darkness of smeared tone, 0..1.
    """

    name: str
    weight: float
    ink: float
    wobble: float
    overshoot: float
    passes: int
    forgets: float
    hatch: float
    slope: float
    smudge: float


HANDS = (
    Hand("ink", 0.5, 1.0, 0.25, 0.0, 1, 0.05, 0.0, 0.0, 0.0),
    Hand("pencil", 0.4, 0.66, 0.5, 1.0, 2, 0.12, 2.6, -0.7, 0.16),
    Hand("marker", 0.95, 0.95, 0.45, 0.4, 1, 0.35, 0.0, 0.0, 0.5),
    Hand("scribble", 0.36, 0.7, 1.1, 2.6, 3, 0.25, 0.0, 0.0, 0.0),
    Hand("charcoal", 1.0, 0.6, 0.7, 0.8, 1, 0.4, 0.0, 0.0, 0.8),
    Hand("hatcher", 0.38, 0.85, 0.3, 0.3, 1, 0.1, 2.0, 1.0, 0.0),
)


@dataclass(frozen=True)
class Strokes:
    """Polylines end to end: float32 [N] coordinates in pixels and int32 [N], the stroke that each point belongs to."""

    x: Float
    y: Float
    stroke: NDArray[np.int32]

    def where(self, keep: NDArray[np.bool_]) -> Strokes:
        """Only the points where `keep` [N]; a stroke falls apart where points are missing, single points vanish."""
        # Each maximal run of kept points of one stroke is a stroke of its own.
        breaks = np.ones(keep.size, bool)
        breaks[1:] = (self.stroke[1:] != self.stroke[:-1]) | ~keep[:-1]
        run = np.cumsum(breaks).astype(np.int32)[keep]
        x, y = self.x[keep], self.y[keep]
        alone = np.ones(run.size, bool)
        alone[1:] &= run[1:] != run[:-1]
        alone[:-1] &= run[:-1] != run[1:]
        return Strokes(x[~alone], y[~alone], run[~alone])


def ink_strokes(
    ink: NDArray[np.int32], strokes: Strokes, hand: Hand, draw: Draw, *, thin: float = 1.0, wobble: float = 1.0
) -> None:
    """Draw strokes; where two cross, the darker one stays.

    Args:
        ink: int32 [H, W], 0..255, changed in place.
        strokes: what to draw. hand: who draws.
        thin: factor on the stroke's weight. wobble: factor on how far it strays.
    """
    height = ink.shape[0]
    scale = height / 128
    x, y, stroke = _overshoot(strokes, hand.overshoot * scale)
    if x.size < 2:
        return
    # Points at most 0.6 pixels apart.
    dx, dy = x[1:] - x[:-1], y[1:] - y[:-1]
    long = np.sqrt(dx * dx + dy * dy)
    same = stroke[1:] == stroke[:-1]
    counts = np.where(same, (long * _F(1.7)).astype(np.int32) + 1, 0)
    index = np.repeat(np.arange(counts.size), counts)
    step = (np.arange(index.size) - np.repeat(np.cumsum(counts) - counts, counts)).astype(_F) / counts[index].astype(_F)
    dense_x, dense_y = x[index] + dx[index] * step, y[index] + dy[index] * step
    # A stroke strays and presses along its length, each in its own way.
    travelled = np.zeros(x.size, _F)
    # Lengths are added as 1/64 pixels: sums of integers do not depend on the order.
    travelled[1:] = np.cumsum(np.where(same, long * _F(64), 0).astype(np.int64)).astype(_F) / _F(64)
    at = ((travelled[index] + long[index] * step) * _F(1.6 / scale)).astype(np.int64)
    lane = (stroke[index].astype(np.int64) * 37 + draw.below(256)) % 256
    noise, stray = smooth_noise(16), _F(hand.wobble * wobble * scale)
    dense_x += stray * noise[lane, at % 256]
    dense_y += stray * noise[(lane + 101) % 256, at % 256]
    press = _F(1) - _F(0.3) * np.abs(noise[(lane + 53) % 256, (at // 2) % 256])
    _splat(ink, dense_x, dense_y, _F(hand.weight * thin * scale) * press, _F(hand.ink) * press)


def _overshoot(strokes: Strokes, far: float) -> tuple[Float, Float, NDArray[np.int32]]:
    x, y, stroke = strokes.x.copy(), strokes.y.copy(), strokes.stroke
    if far <= 0 or x.size < 2:
        return x, y, stroke
    first = np.ones(x.size, bool)
    first[1:] = stroke[1:] != stroke[:-1]
    last = np.ones(x.size, bool)
    last[:-1] = first[1:]
    for ends, inward in ((np.flatnonzero(first), 1), (np.flatnonzero(last), -1)):
        dx, dy = strokes.x[ends] - strokes.x[ends + inward], strokes.y[ends] - strokes.y[ends + inward]
        long = np.maximum(np.sqrt(dx * dx + dy * dy), _F(0.1))
        x[ends] += dx / long * _F(far)
        y[ends] += dy / long * _F(far)
    return x, y, stroke


def _splat(ink: NDArray[np.int32], x: Float, y: Float, radius: Float, dark: Float) -> None:
    """Press round dots of these radii and darknesses on the paper, keeping the darkest."""
    height, width = ink.shape
    reach = int(float(radius.max(initial=0.0)) + 1.5)
    steps = np.arange(-reach, reach + 1, dtype=np.int32)
    column, row = np.floor(x).astype(np.int32), np.floor(y).astype(np.int32)
    columns = column[:, None] + steps
    rows = row[:, None] + steps
    off_x = columns.astype(_F) + _F(0.5) - x[:, None]
    off_y = rows.astype(_F) + _F(0.5) - y[:, None]
    far = np.sqrt((off_y * off_y)[:, :, None] + (off_x * off_x)[:, None, :])
    cover = np.clip(radius[:, None, None] + _F(0.5) - far, 0, 1)
    value = (cover * (dark * _F(255))[:, None, None]).astype(np.int32)
    inside = (
        ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :] & (value > 0)
    )
    place = (rows * np.int32(width))[:, :, None] + columns[:, None, :]
    np.maximum.at(ink.reshape(-1), place[inside], value[inside])
