"""Cloth: patterns, the surfaces of fabrics, and how both look to visible and to infrared light."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reid.synthetic.draw import Draw, smooth_noise
from reid.synthetic.person import Cloth, Person
from reid.synthetic.wardrobe import COLOURS, DYES, FABRICS, SKIN, SKIN_INFRARED

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]
_F = np.float32


class Canvas:
    """One texture while it is being painted.

    Attributes:
        v: float32 [rows, 1], 0 at the start of the part, 1 at its end.
        turn: float32 [1, columns], degrees from the front, -180..180, positive to the person's left.
        colour: float32 [rows, columns, 3], 0..255. infrared: float32 [rows, columns], reflectance 0..1.
        relief: float32 [rows, columns], brightness of the surface in any light, about 1.
        gloss: 0..1.
    """

    def __init__(self, rows: int, columns: int, key: tuple[int | str, ...]) -> None:
        self.rows, self.columns, self._key = rows, columns, key
        self.v = ((np.arange(rows, dtype=_F) + _F(0.5)) / _F(rows))[:, None]
        turn = np.arange(columns, dtype=_F) * _F(360.0 / columns)
        self.turn = np.where(turn > 180, turn - _F(360), turn)[None, :]
        self.colour = np.zeros((rows, columns, 3), _F)
        self.infrared = np.zeros((rows, columns), _F)
        self.relief = np.ones((rows, columns), _F)
        self.gloss = 0.0

    def fill(self, where: Mask, colour: Sequence[int], infrared: float, shift: Sequence[int] | None = None) -> None:
        """Paint a colour (0..255) and a reflectance (0..1) and flatten the surface. `shift` is added to the colour."""
        full = np.broadcast_to(where, self.infrared.shape)
        value = np.array(colour, _F) if shift is None else np.array(colour, _F) + np.array(shift, _F)
        self.colour[full] = value
        self.infrared[full] = infrared
        self.relief[full] = 1.0

    def cover(self, where: Mask, cloth: Cloth) -> None:
        """Paint plain cloth."""
        fibre, _ = FABRICS[cloth.fabric]
        self.fill(where, tinted(COLOURS[cloth.colour], int(self._key[1]), cloth.colour), fibre * DYES[cloth.dye])

    def shade(self, where: Mask, factor: float) -> None:
        """Darken (< 1) or lighten the surface: a seam, a fold, an edge; the same in every light."""
        self.relief *= np.where(where, _F(factor), _F(1.0))

    def streak(self, where: Mask, depth: float) -> None:
        """Lines along the part, as of hair."""
        noise = smooth_noise(2)
        at = Draw("streak", *self._key).below(256)
        rows = (np.arange(self.rows) // 3 + at) % 256
        columns = (np.arange(self.columns) * 2) % 256
        lines = noise[rows][:, columns]
        self.relief *= np.where(where, _F(1.0) + _F(depth) * lines, _F(1.0))

    def planes(self) -> NDArray[np.uint8]:
        """uint8 [4, rows, columns]: red, green, blue, near-infrared."""
        lit = self.colour.transpose(2, 0, 1) * self.relief
        dark = self.infrared * self.relief * _F(255.0)
        return np.clip(np.concatenate([lit, dark[None]]) + _F(0.5), 0, 255).astype(np.uint8)


def tinted(colour: Sequence[int], grain: int, slot: str) -> tuple[int, int, int]:
    """A named colour as this person's piece of cloth has it: no two blues are alike."""
    draw = Draw("tint", grain, slot)
    shift = draw.bell(9)
    red, green, blue = (max(4, min(250, round(c + shift + draw.bell(6)))) for c in colour)
    return red, green, blue


def paint_cloth(
    canvas: Canvas, cloth: Cloth, length: float, girth: float, *, logo: bool = True, block: bool = True
) -> None:
    """Cover a whole texture with cloth.

    Args:
        canvas: is painted over.
        cloth: colours, pattern, fabric and dyes.
        length: along the part in cm. girth: round it in cm.
        logo: whether a logo is printed here. block: whether a block of the second colour is here.
    """
    fibre, surface = FABRICS[cloth.fabric]
    grain = int(canvas._key[1])
    first = tinted(COLOURS[cloth.colour], grain, cloth.colour)
    canvas.colour[:] = first
    canvas.infrared[:] = fibre * DYES[cloth.dye]
    canvas.relief[:] = 1.0
    if cloth.second is not None:
        share = _pattern(canvas, cloth.pattern, length, girth, grain, logo, block)
        if share is not None:
            second = np.array(tinted(COLOURS[cloth.second], grain, cloth.second), _F)
            canvas.colour += share[:, :, None] * (second - canvas.colour)
            canvas.infrared += share * (_F(fibre * DYES[cloth.second_dye]) - canvas.infrared)
    elif cloth.pattern == "faded":
        worn = np.clip(_F(1.0) - np.abs(canvas.turn) / _F(70.0), 0, 1) * np.clip(_F(1.3) - canvas.v * 2, 0, 1)
        canvas.colour += (worn * _F(0.4))[:, :, None] * (_F(225.0) - canvas.colour)
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
    shape = canvas.infrared.shape
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
        far = np.maximum(x + (y - _F(1.0)) * _F(0.5), np.abs(y))
    else:
        far = np.maximum(x, np.minimum(np.abs(y - _F(0.5)), np.abs(y + _F(0.5))) * _F(3.2))
    inside: Float = np.clip((_F(1.0) - far) * _F(5.0) + _F(0.5), 0, 1).astype(_F)
    return inside


def _surface(canvas: Canvas, surface: str, length: float) -> None:
    """Give the cloth its folds and its weave; both are seen in any light."""
    draw = Draw("folds", *canvas._key)
    top, left = draw.below(256), draw.below(256)
    rows, columns = np.arange(canvas.rows), np.arange(canvas.columns)
    # The noise is periodic in 256 and the texture in its columns, so a whole number of columns steps fits round.
    folds = smooth_noise(16)[(top + rows * 96 // canvas.rows) % 256][:, (left + columns * 256 // canvas.columns) % 256]
    deep = {"smooth": 0.12, "shiny": 0.2, "fuzzy": 0.07, "quilted": 0.08}.get(surface, 0.09)
    canvas.relief *= _F(1.0) + _F(deep) * folds
    fine = smooth_noise(1)[(top + rows) % 256][:, (left + columns) % 256]
    down = canvas.v * _F(length)
    if surface == "quilted":
        bulge = np.abs(down % _F(8.0) - _F(4.0)) / _F(4.0)
        canvas.relief *= _F(1.12) - _F(0.42) * bulge * bulge * bulge
        canvas.gloss = 0.25
    elif surface == "ribbed":
        canvas.relief *= np.where(columns // max(1, canvas.columns // 64) % 2 == 0, _F(0.9), _F(1.08))[None, :]
    elif surface == "corded":
        canvas.relief *= np.where(columns // max(1, canvas.columns // 64) % 3 == 0, _F(0.74), _F(1.08))[None, :]
    elif surface == "twill":
        canvas.relief *= _F(1.0) + _F(0.09) * fine
    elif surface == "fuzzy":
        canvas.relief *= _F(1.0) + _F(0.1) * smooth_noise(2)[(left + rows) % 256][:, (top + columns) % 256]
    elif surface == "shiny":
        canvas.gloss = 0.5


def plain_cloth(person: Person, slot: str, colour: str, fabric: str) -> Cloth:
    """Plain cloth of something small that a person wears; its dye is the person's, too."""
    dye = Draw("dye", person.grain, slot).pick(tuple(DYES))
    return Cloth(colour, "plain", None, fabric, dye, dye)


def skin_of(person: Person) -> tuple[tuple[int, int, int], float]:
    """Colour and near-infrared reflectance of a person's skin."""
    return SKIN[person.skin], SKIN_INFRARED
