"""What covers a person, unrolled: one texture per garment, visible and infrared, painted once per person.

A texture's rows run along the part's axis, its columns once round it: column 0 is the front, columns grow towards the
person's left. All textures of a person are stacked into one table with five planes: red, green, blue (0..255) and
near-infrared reflectance (0..255), and gloss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from reid.synthetic import garments, trimmings
from reid.synthetic.cloth import Canvas
from reid.synthetic.figure import make_figure
from reid.synthetic.person import Person

COLUMNS = 64
# Rows of each texture.
TILES = {
    "upper": 48, "sleeve": 32, "leg": 48, "skirt": 32, "head": 32, "hair": 16, "hat": 16, "scarf": 8, "hood": 8,
    "bag": 24, "shoe": 12, "skin": 4, "strap": 4,
}  # fmt: skip


_PAINTERS: dict[str, Callable[[Person, Canvas], None]] = {
    "upper": garments.paint_upper,
    "sleeve": garments.paint_sleeve,
    "hood": garments.paint_hood,
    "leg": garments.paint_leg,
    "skirt": garments.paint_skirt,
    "head": trimmings.paint_head,
    "hair": trimmings.paint_hair,
    "skin": trimmings.paint_skin,
    "hat": trimmings.paint_hat,
    "scarf": trimmings.paint_scarf,
    "shoe": trimmings.paint_shoe,
    "bag": trimmings.paint_bag,
    "strap": trimmings.paint_strap,
}


@dataclass(frozen=True)
class Atlas:
    """A person's textures.

    Attributes:
        planes: uint8 [4, rows, columns]: red, green, blue, near-infrared reflectance.
        first_row, rows: tile -> where it lies.
        gloss: tile -> how much it shines, 0..1.
    """

    planes: NDArray[np.uint8]
    first_row: dict[str, int]
    rows: dict[str, int]
    gloss: dict[str, float]

    @property
    def columns(self) -> int:
        """Texels once round a body."""
        return int(self.planes.shape[2])


@lru_cache(maxsize=512)
def make_atlas(person: Person, detail: int = 1) -> Atlas:
    """Paint everything that this person wears. `detail` 2 doubles the texels each way, for images 256 high."""
    worn = {part.tile for part in make_figure(person).parts}
    rows = {tile: count * detail for tile, count in TILES.items() if tile in worn}
    total, columns = sum(rows.values()), COLUMNS * detail
    paint, relief = np.zeros((4, total, columns), np.float32), np.ones((total, columns), np.float32)
    first: dict[str, int] = {}
    gloss: dict[str, float] = {}
    at = 0
    for tile, count in rows.items():
        part = slice(at, at + count)
        canvas = Canvas(paint[:, part], relief[part], (person.grain, tile))
        _PAINTERS[tile](person, canvas)
        first[tile], gloss[tile] = at, canvas.gloss
        at += count
    paint *= relief
    paint += np.float32(0.5)
    planes = np.minimum(np.maximum(paint, np.float32(0)), np.float32(255)).astype(np.uint8)
    return Atlas(planes, first, rows, gloss)


def garment_brightness(person: Person, tile: str = "upper") -> tuple[float, float]:
    """How bright a garment is to each kind of camera: mean luminance, mean near-infrared reflectance, both 0..255."""
    atlas = make_atlas(person)
    first, rows = atlas.first_row[tile], atlas.rows[tile]
    red, green, blue, nir = (float(plane[first : first + rows].astype(np.int64).sum()) for plane in atlas.planes)
    count = rows * atlas.columns
    return (0.299 * red + 0.587 * green + 0.114 * blue) / count, nir / count
