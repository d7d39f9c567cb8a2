"""From strips to a picture: surface colours, light, and one strip laid over the other."""

from __future__ import annotations

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


def lay(picture: Float, pixels: Pixels, colours: Float) -> None:
    """Lay strips over a picture in their order.

    Args:
        picture: float32 [C, H, W], changed in place.
        pixels: of P strips.
        colours: float32 [C, N], one per pixel of the strips.
    """
    flat = picture.reshape(picture.shape[0], -1)
    for first, last in pixels.spans():
        where = pixels.position[first:last]
        below = flat[:, where]
        step = colours[:, first:last] - below
        step *= pixels.coverage[first:last]
        below += step
        flat[:, where] = below


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
