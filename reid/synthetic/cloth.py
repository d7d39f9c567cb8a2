"""Cloth: patterns, the surfaces of fabrics, and how both look to visible and to infrared light."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from reid.synthetic.draw import Draw, smooth_noise
from reid.synthetic.person import Cloth, Person
from reid.synthetic.wardrobe import COLOURS, DYES, FABRICS, SKIN, SKIN_INFRARED

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]
_F = np.float32


class Canvas:
    """One texture while it is being painted: some rows of a person's table of textures.

    Attributes:
        v: float32 [rows, 1], 0 at the start of the part, 1 at its end.
        turn: float32 [1, columns], degrees from the front, -180..180, positive to the person's left.
        paint: float32 [4, rows, columns]: red, green, blue and near-infrared reflectance, 0..255.
        relief: float32 [rows, columns], brightness of the surface in any light, about 1.
        gloss: how much the surface shines, 0..1.
    """

    def __init__(self, paint: Float, relief: Float, key: tuple[int | str, ...]) -> None:
        self.rows, self.columns = relief.shape
        self.paint, self.relief, self.key = paint, relief, key
        self.v, self.turn = _coordinates(self.rows, self.columns)
        self.gloss = 0.0

    def fill(self, where: Mask, colour: Sequence[int], infrared: float, shift: Sequence[int] = (0, 0, 0)) -> None:
        """Paint a colour (0..255) and a reflectance (0..1) and flatten the surface. `shift` is added to the colour."""
        tones = np.array((*(c + more for c, more in zip(colour, shift, strict=True)), infrared * 255), _F)
        np.copyto(self.paint, tones[:, None, None], where=where)
        np.copyto(self.relief, _F(1), where=where)

    def cover(self, where: Mask, cloth: Cloth, grain: int) -> None:
        """Paint plain cloth of the person with this grain."""
        fibre, _ = FABRICS[cloth.fabric]
        self.fill(where, tinted(COLOURS[cloth.colour], grain, cloth.colour), fibre * DYES[cloth.dye])

    def shade(self, where: Mask, factor: float) -> None:
        """Darken (< 1) or lighten the surface: a seam, a fold, an edge; the same in every light."""
        np.multiply(self.relief, _F(factor), out=self.relief, where=where)

    def streak(self, where: Mask, depth: float) -> None:
        """Lines along the part, as of hair."""
        at = Draw("streak", *self.key).below(256)
        rows = (np.arange(self.rows) // 3 + at) % 256
        columns = (np.arange(self.columns) * 2) % 256
        lines = smooth_noise(2)[rows[:, None], columns]
        np.multiply(self.relief, _F(1.0) + _F(depth) * lines, out=self.relief, where=where)


@lru_cache(maxsize=64)
def _coordinates(rows: int, columns: int) -> tuple[Float, Float]:
    v: Float = ((np.arange(rows).astype(_F) + _F(0.5)) / _F(rows))[:, None]
    turn = np.arange(columns).astype(_F) * _F(360.0 / columns)
    around: Float = np.where(turn > 180, turn - _F(360), turn)[None, :]
    v.setflags(write=False)
    around.setflags(write=False)
    return v, around


def tinted(colour: Sequence[int], grain: int, slot: str) -> tuple[int, int, int]:
    """A named colour as this person's piece of cloth has it: no two blues are alike."""
    draw = Draw("tint", grain, slot)
    shift = draw.bell(9)
    red, green, blue = (max(4, min(250, round(c + shift + draw.bell(6)))) for c in colour)
    return red, green, blue


def paint_cloth(
    canvas: Canvas, cloth: Cloth, grain: int, length: float, girth: float, *, logo: bool = True, block: bool = True
) -> None:
    """Cover a whole texture with cloth.

    Args:
        canvas: is painted over.
        cloth: colours, pattern, fabric and dyes. grain: of the person who wears it.
        length: along the part in cm. girth: round it in cm.
        logo: whether a logo is printed here. block: whether a block of the second colour is here.
    """
    fibre, surface = FABRICS[cloth.fabric]
    first = np.array((*tinted(COLOURS[cloth.colour], grain, cloth.colour), fibre * DYES[cloth.dye] * 255), _F)
    canvas.paint[:] = first[:, None, None]
    canvas.relief[:] = 1
    if cloth.second is not None:
        share = _pattern(canvas, cloth.pattern, length, girth, grain, logo, block)
        if share is not None:
            tones = (*tinted(COLOURS[cloth.second], grain, cloth.second), fibre * DYES[cloth.second_dye] * 255)
            canvas.paint += share * (np.array(tones, _F) - first)[:, None, None]
    elif cloth.pattern == "faded":
        worn = np.clip(_F(1.0) - np.abs(canvas.turn) / _F(70.0), 0, 1) * np.clip(_F(1.3) - canvas.v * 2, 0, 1)
        canvas.paint[:3] += (worn * _F(0.4)) * (_F(225.0) - first[:3, None, None])
    _surface(canvas, surface, length)


def _wave(x: Float, period: float, share: float, soft: float) -> Float:
    """Stripes of width `share` of the period, with edges `soft` wide; same unit as x. Values 0..1."""
    p = _F(period)
    off = np.abs(x % p - p / 2)
    stripe: Float = np.clip((p * _F(share / 2) - off) / _F(soft) + _F(0.5), 0, 1).astype(_F)
    return stripe


def _pattern(
    canvas: Canvas, pattern: str, length: float, girth: float, grain: int, logo: bool, block: bool
) -> Float | None:
    """Share of the second colour, float32 [rows, columns] in 0..1; None if there is none here."""
    down, turn = canvas.v * _F(length), canvas.turn
    around = turn * _F(girth / 360.0)
    soft = length / canvas.rows
    shape = canvas.relief.shape
    size = (1.0, 1.25, 0.8)[grain % 3]
    # A whole number of repeats fits round the body.
    count = max(4, round(girth / (8.5 * size)))
    step = girth / count
    if pattern == "horizontal stripes":
        return np.broadcast_to(_wave(down, 9.0 * size, 0.46, soft), shape)
    if pattern == "vertical stripes":
        return np.broadcast_to(_wave(around, step, 0.4, girth / canvas.columns), shape)
    if pattern == "check":
        lines = _wave(down, 9.5 * size, 0.36, soft), _wave(around, step, 0.36, girth / canvas.columns)
        both: Float = ((lines[0] + lines[1]) * _F(0.5)).astype(_F)
        return both
    if pattern == "dots":
        row = np.floor(down / _F(step))
        off_y = down - (row + _F(0.5)) * _F(step)
        off_x = (around + (row % 2) * _F(step / 2)) % _F(step) - _F(step / 2)
        far = np.sqrt(off_x * off_x + off_y * off_y)
        dots: Float = np.clip((_F(step * 0.3) - far) / _F(soft) + _F(0.5), 0, 1).astype(_F)
        return dots
    if pattern == "block" and block:
        return np.broadcast_to(np.clip((_F(26.0) - down) / _F(soft) + _F(0.5), 0, 1).astype(_F), shape)
    if pattern == "side stripe":
        return np.broadcast_to(
            np.clip((_F(15.0) - np.abs(np.abs(turn) - 90)) / _F(6) + _F(0.5), 0, 1).astype(_F), shape
        )
    if pattern == "logo" and logo:
        at: Float = ((down - _F(25.0)) / _F(9.5)).astype(_F)
        return _logo((np.abs(turn) / _F(30.0)).astype(_F), at, grain // 3 % 4)
    return None


def _logo(x: Float, y: Float, form: int) -> Float:
    """A print on the chest; x >= 0 and y in units of its half-width."""
    if form == 0:
        far = np.maximum(x, np.abs(y) * _F(1.5))
    elif form == 1:
        far = np.sqrt(x * x + y * y)
    elif form == 2:
        far = np.maximum(x + (_F(1.0) - y) * _F(0.5), np.abs(y))
    else:
        far = np.maximum(x, np.minimum(np.abs(y - _F(0.5)), np.abs(y + _F(0.5))) * _F(3.2))
    inside: Float = np.clip((_F(1.0) - far) * _F(5.0) + _F(0.5), 0, 1).astype(_F)
    return inside


def _surface(canvas: Canvas, surface: str, length: float) -> None:
    """Give the cloth its folds and its weave; both are seen in any light."""
    draw = Draw("folds", *canvas.key)
    top, left = draw.below(256), draw.below(256)
    rows, columns = np.arange(canvas.rows), np.arange(canvas.columns)

    def noise(cell: int, step_x: int, step_y: int) -> Float:
        # The table is periodic in 256, so whole steps that go round it once close round the body.
        table: Float = smooth_noise(cell)[
            ((top + rows * step_y // canvas.rows) % 256)[:, None], (left + columns * step_x) % 256
        ]
        return table

    deep = {"smooth": 0.12, "shiny": 0.2, "fuzzy": 0.07, "quilted": 0.08}.get(surface, 0.09)
    canvas.relief *= _F(1.0) + _F(deep) * noise(16, 256 // canvas.columns, 96)
    rib = columns // max(1, canvas.columns // 64)
    if surface == "quilted":
        bulge = np.abs(canvas.v * _F(length) % _F(8.0) - _F(4.0)) / _F(4.0)
        canvas.relief *= _F(1.12) - _F(0.42) * bulge * bulge * bulge
        canvas.gloss = 0.2
    elif surface == "ribbed":
        canvas.relief *= np.where(rib % 2 == 0, _F(0.9), _F(1.08))
    elif surface == "corded":
        canvas.relief *= np.where(rib % 3 == 0, _F(0.74), _F(1.08))
    elif surface == "twill":
        canvas.relief *= _F(1.0) + _F(0.09) * noise(1, 1, canvas.rows)
    elif surface == "fuzzy":
        canvas.relief *= _F(1.0) + _F(0.1) * noise(2, 1, canvas.rows)
    elif surface == "shiny":
        canvas.gloss = 0.32


def plain_cloth(person: Person, slot: str, colour: str, fabric: str) -> Cloth:
    """Plain cloth of something small that a person wears; its dye is the person's, too."""
    dye = Draw("dye", person.grain, slot).pick(tuple(DYES))
    return Cloth(colour, "plain", None, fabric, dye, dye)


def skin_of(person: Person) -> tuple[tuple[int, int, int], float]:
    """Colour and near-infrared reflectance of a person's skin."""
    return SKIN[person.skin], SKIN_INFRARED
