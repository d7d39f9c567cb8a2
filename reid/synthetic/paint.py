"""From strips to a picture: surface colours, light, and one strip laid over the other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from reid.synthetic.angles import azimuth_columns
from reid.synthetic.atlas import Atlas
from reid.synthetic.figure import Figure
from reid.synthetic.raster import Pixels, fill
from reid.synthetic.view import Strips

Float = NDArray[np.float32]
_F = np.float32


@lru_cache(maxsize=1024)
def _tiles(
    figure_parts: tuple[tuple[str, tuple[float, float]], ...], first: tuple[int, ...], rows: tuple[int, ...]
) -> tuple[Float, Float]:
    low = np.array([f + r * share[0] for (_, share), f, r in zip(figure_parts, first, rows, strict=True)], dtype=_F)
    size = np.array(
        [r * (share[1] - share[0]) - 0.01 for (_, share), r in zip(figure_parts, rows, strict=True)], dtype=_F
    )
    return low, size


def surface(figure: Figure, atlas: Atlas, strips: Strips, pixels: Pixels) -> NDArray[np.int64]:
    """Which texel each pixel shows: int64 [N], index into a plane of the atlas."""
    key = tuple((part.tile, part.rows) for part in figure.parts)
    low, size = _tiles(key, tuple(atlas.first_row[t] for t, _ in key), tuple(atlas.rows[t] for t, _ in key))
    columns = atlas.columns
    turn = np.rint(strips.yaw * (columns / 360)).astype(np.int64)
    row = (pixels.spread(low[strips.part]) + pixels.along * pixels.spread(size[strips.part])).astype(np.int64)
    texel = azimuth_columns(columns)[(pixels.across * _F(255) + _F(255.5)).astype(np.int64)]
    texel -= pixels.spread(turn)
    texel &= columns - 1
    row *= columns
    texel += row
    return texel


def rasterise(strips: Strips, height: int, width: int) -> Pixels:
    """The pixels of all strips in a picture of this size."""
    return fill(
        strips.x0,
        strips.y0,
        strips.x1,
        strips.y1,
        strips.half,
        strips.middle,
        strips.bulge,
        strips.round_start,
        strips.round_end,
        height,
        width,
    )


def resolve(pixels: Pixels, size: int) -> tuple[Pixels, Float]:
    """What is left to be seen of strips that cover one another, the last one on top.

    Compositing "over", from front to back: a pixel of a strip contributes its coverage times what shines through all
    strips above it. What contributes nothing is dropped, so that nobody computes its colour.

    Args:
        pixels: of P strips. size: of the picture in pixels, H * W.

    Returns:
        The pixels that are seen, with their contribution as coverage; and what is left for the ground, float32 [H * W].
    """
    clear = np.ones(size, _F)
    weight = pixels.coverage.copy()
    for first, last in reversed(pixels.spans()):
        where, part = pixels.position[first:last], weight[first:last]
        left = clear[where]
        part *= left
        clear[where] = left - part
    seen = np.flatnonzero(weight)
    strip = pixels.spread(np.arange(pixels.sizes.size))[seen]
    sizes = np.bincount(strip, minlength=pixels.sizes.size)
    along, across, facing = pixels.along[seen], pixels.across[seen], pixels.facing[seen]
    return Pixels(sizes, pixels.position[seen], weight[seen], along, across, facing), clear


def lay(picture: Float, pixels: Pixels, clear: Float, colours: Float) -> None:
    """Lay what is seen of strips over a picture.

    Args:
        picture: float32 [C, H, W], changed in place.
        pixels, clear: of `resolve`. colours: float32 [C, N], one per pixel.
    """
    for plane, colour in zip(picture.reshape(picture.shape[0], -1), colours, strict=True):
        plane *= clear
        # A sum in the order of the pixels, so the same everywhere.
        plane += np.bincount(pixels.position, colour * pixels.coverage, plane.size).astype(_F)


def flattened(strips: Strips, pixels: Pixels) -> tuple[Float, Float]:
    """`across` and `facing` of the surface's normal: a box turns away from the viewer only near its edges."""
    across, facing = pixels.across, pixels.facing
    boxes = np.flatnonzero(strips.boxy)
    if boxes.size:
        across, facing, spans = across.copy(), facing.copy(), pixels.spans()
        for index in boxes:
            first, last = spans[index]
            away = across[first:last]
            square = away * away
            away *= _F(1) - strips.boxy[index] * (_F(1) - square * square)
            facing[first:last] = np.sqrt(_F(1) - away * away)
    return across, facing


def add_gloss(light: Float, pixels: Pixels, gloss: Sequence[float]) -> None:
    """Put a streak of highlight along strips that shine; `gloss` [P] in 0..1, `light` [N] is changed in place."""
    for (first, last), shine in zip(pixels.spans(), gloss, strict=True):
        if shine:
            off = (pixels.across[first:last] + _F(0.3)) * _F(2.6)
            streak = np.maximum(_F(1) - off * off, _F(0))
            light[first:last] *= _F(1) + streak * streak * _F(shine)
