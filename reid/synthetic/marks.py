"""What an artist draws inside an outline: seams, fastenings, faces, prints and patterns, as lines on the cloth.

A line is given on the unrolled texture, as `reid.synthetic.atlas` has it: `v` from 0 to 1 along the part, `turn` in
degrees from the front. `reid.synthetic.sketch` bends it round the body.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from reid.synthetic.angles import cos, sin
from reid.synthetic.person import Cloth, Person
from reid.synthetic.wardrobe import LOWERS, UPPERS

Line = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Mark:
    """Lines of one meaning on one texture.

    Attributes:
        tile: the texture. lines: each a sequence of (v, turn).
        detail: 0: whoever draws the person draws this; 1: can be left out; 2: is left out by half of the artists.
    """

    tile: str
    lines: tuple[Line, ...]
    detail: int = 1


@lru_cache(maxsize=1024)
def make_marks(person: Person) -> tuple[Mark, ...]:
    """All inner lines of a person."""
    return (*_face(person), *_fastening(person), *_patterns(person), *_bags(person), *_details(person))


def _level(v: float, left: float = -180.0, right: float = 180.0) -> Line:
    """Round the body at one height."""
    steps = max(2, round((right - left) / 15))
    return tuple((v, left + (right - left) * i / steps) for i in range(steps + 1))


def _plumb(turn: float, top: float = 0.0, bottom: float = 1.0, slant: float = 0.0) -> Line:
    """Down the body at one azimuth."""
    return tuple((top + (bottom - top) * i / 8, turn + slant * i / 8) for i in range(9))


def _ring(v: float, turn: float, high: float, wide: float) -> Line:
    """A closed oval."""
    return tuple((v + high * sin(a), turn + wide * cos(a)) for a in range(0, 361, 45))


def _face(person: Person) -> list[Mark]:
    eyes = tuple(
        line for side in (-21, 21) for line in (_level(0.505, side - 8, side + 8), _level(0.43, side - 12, side + 11))
    )
    nose: Line = ((0.52, 6), (0.64, 9), (0.66, -3))
    marks = [
        Mark("head", (*eyes, nose, _level(0.78, -15, 15)), 0),
        Mark("head", (_ring(0.56, 88, 0.06, 8), _ring(0.56, -88, 0.06, 8)), 2),
    ]
    if person.glasses:
        marks.append(
            Mark(
                "head",
                (_ring(0.505, 21, 0.06, 14), _ring(0.505, -21, 0.06, 14), _level(0.49, 35, 85), _level(0.49, -85, -35)),
                0,
            )
        )
    if person.beard:
        marks.append(Mark("head", (*(_plumb(t, 0.72, 0.95) for t in range(-70, 71, 20)), _level(0.71, -34, 34)), 0))
    if person.hair not in ("bald",) and person.hat in ("none", "cap"):
        face = 66
        marks.append(Mark("head", (_level(0.29, -face, face), _plumb(face, 0.29, 0.5), _plumb(-face, 0.29, 0.5)), 0))
        if person.hat == "none":
            marks.append(Mark("head", tuple(_plumb(t, 0.04, 0.26) for t in range(-54, 55, 18)), 1))
    strokes = {"long": 26, "shoulder-length": 26, "ponytail": 40, "bun": 60}.get(person.hair, 0)
    if strokes:
        marks.append(Mark("hair", tuple(_plumb(t, 0.05, 0.95) for t in range(-180, 180, strokes)), 1))
    if person.hair == "curly":
        marks.append(
            Mark("hair", tuple(_ring(v, t, 0.08, 12) for v in (0.2, 0.45, 0.7) for t in range(-170, 180, 40)), 0)
        )
    return marks


def _fastening(person: Person) -> list[Mark]:
    cut = UPPERS[person.upper]
    length = 148.5 - cut.hem
    marks = []
    if cut.front in ("zip", "buttons"):
        marks.append(Mark("upper", (_plumb(4, 3 / length),), 0))
    if cut.front == "zip":
        marks.append(Mark("upper", (_plumb(-4, 3 / length),), 2))
    if cut.front == "buttons":
        buttons = tuple(_ring(v / length, -1, 0.7 / length, 3) for v in range(12, int(length) - 4, 10))
        marks.append(Mark("upper", buttons, 1))
        lapel = 26 if person.upper.endswith("coat") else 8
        marks.append(
            Mark("upper", (((0.5 / length, 40), (lapel / length, 3)), ((0.5 / length, -40), (lapel / length, -3))), 0)
        )
    if cut.front == "open":
        marks.append(Mark("upper", tuple(_plumb(s * 13, 2 / length, 1.0, s * 11) for s in (-1, 1)), 0))
        marks.append(
            Mark("upper", (((0.5 / length, 48), (20 / length, 17)), ((0.5 / length, -48), (20 / length, -17))), 1)
        )
    if cut.front == "closed" and person.upper != "hoodie":
        deep = {"vest top": 13.0, "dress": 9.0}.get(person.upper, 6.0) / length
        marks.append(Mark("upper", (tuple((deep * (1 - abs(t) / 54), t) for t in range(-54, 55, 12)),), 0))
    if person.upper == "hoodie":
        pocket: Line = ((58 / length, -52), (42 / length, -36), (42 / length, 36), (58 / length, 52))
        marks.append(
            Mark("upper", (pocket, _plumb(9, 4 / length, 18 / length), _plumb(-9, 4 / length, 18 / length)), 0)
        )
    if person.upper in ("jacket", "open jacket", "coat", "long coat", "down jacket"):
        marks.append(Mark("upper", (_level(50 / length, 26, 62), _level(50 / length, -62, -26)), 1))
    if person.upper == "down jacket":
        marks.append(Mark("upper", tuple(_level(v / length) for v in range(8, int(length), 8)), 0))
        marks.append(Mark("sleeve", tuple(_level(v / 58) for v in range(8, 56, 8)), 0))
    if person.upper == "dress":
        marks.append(Mark("upper", (_level(44.5 / length),), 0))
    if person.upper in ("sweater", "hoodie", "jacket"):
        marks.append(Mark("upper", (_level(1 - 5 / length),), 1))
    if person.sleeve == "short":
        marks.append(Mark("sleeve", (_level(0.36),), 0))
    elif person.sleeve == "long":
        marks.append(Mark("sleeve", (_level(0.955),), 1))
    return marks


def _patterns(person: Person) -> list[Mark]:
    cut, lower = UPPERS[person.upper], LOWERS[person.lower]
    marks = _pattern("upper", person.upper_cloth, 148.5 - cut.hem, 96.0, person.grain)
    if person.sleeve == "long" or person.upper_cloth.pattern == "horizontal stripes":
        end = {"long": 1.0, "short": 0.36, "none": 0.03}[person.sleeve]
        marks += _pattern("sleeve", person.upper_cloth, 58.0, 34.0, person.grain, end)
    if lower.skirt:
        marks += _pattern("skirt", person.lower_cloth, 104 - lower.hem, 100.0, person.grain)
    elif person.lower != "bare legs":
        marks += _pattern(
            "leg", person.lower_cloth, 86.0, 52.0, person.grain, 0.46 if person.lower == "shorts" else 1.0
        )
    return marks


def _pattern(tile: str, cloth: Cloth, length: float, girth: float, grain: int, end: float = 1.0) -> list[Mark]:
    """The edges of what `reid.synthetic.cloth` paints."""
    size = (1.0, 1.25, 0.8)[grain % 3]
    count = max(4, round(girth / (8.5 * size)))
    rows = [9.0 * size * (i + 0.5) / length for i in range(int(length * end / (9.0 * size)))]
    columns = [360.0 * (i + 0.5) / count - 180 for i in range(count)]
    level: list[Line] = [_level(v + d / length) for v in rows for d in (-2.0 * size, 2.0 * size)]
    if cloth.pattern == "horizontal stripes":
        return [Mark(tile, tuple(line for line in level if line[0][0] < end), 0)]
    if cloth.pattern == "vertical stripes":
        return [Mark(tile, tuple(_plumb(t, 0.0, end) for t in columns), 0)]
    if cloth.pattern == "check":
        rows = [9.5 * size * (i + 0.5) / length for i in range(int(length * end / (9.5 * size)))]
        return [Mark(tile, (*(_level(v) for v in rows), *(_plumb(t, 0.0, end) for t in columns)), 0)]
    if cloth.pattern == "dots":
        step = girth / count
        dots = []
        for row in range(int(length * end / step)):
            for t in columns:
                dots.append(
                    _ring(
                        (row + 0.5) * step / length, t - (row % 2) * 180 / count, 1.6 * size / length, 140 / count * 0.5
                    )
                )
        return [Mark(tile, tuple(dots), 0)]
    if cloth.pattern == "block" and tile == "upper":
        return [Mark(tile, (_level(26.0 / length),), 0)]
    if cloth.pattern == "side stripe" and tile == "leg":
        return [Mark(tile, tuple(_plumb(s * 90 + d, 0.0, end) for s in (-1, 1) for d in (-15, 15)), 0)]
    if cloth.pattern == "logo" and tile == "upper":
        return [Mark(tile, _logo(grain // 3 % 4, length), 0)]
    return []


def _logo(form: int, length: float) -> tuple[Line, ...]:
    def at(x: float, y: float) -> tuple[float, float]:
        return ((25.0 + 9.5 * y) / length, 30.0 * x)

    if form == 0:
        return ((at(-1, -0.66), at(1, -0.66), at(1, 0.66), at(-1, 0.66), at(-1, -0.66)),)
    if form == 1:
        return (tuple(at(cos(a), sin(a)) for a in range(0, 361, 30)),)
    if form == 2:
        return ((at(-1, 1), at(1, 1), at(0, -1), at(-1, 1)),)
    bars = ((-0.8, -0.2), (0.2, 0.8))
    return tuple((at(-1, high), at(1, high), at(1, low), at(-1, low), at(-1, high)) for high, low in bars)


def _bags(person: Person) -> list[Mark]:
    share = 62.0 / (148.5 - UPPERS[person.upper].hem)
    if person.carried == "backpack":
        straps = tuple(_plumb(s * (33 + d), 0.0, 0.5 * share) for s in (-1, 1) for d in (-8, 8))
        pocket: Line = ((0.9, -128), (0.55, -128), (0.55, -180))
        other: Line = ((0.9, 128), (0.55, 128), (0.55, 180))
        return [Mark("upper", straps, 0), Mark("bag", (_level(0.34), pocket, other), 0)]
    if person.carried == "shoulder bag":
        front = tuple(_plumb(34 + d, 0.0, 0.84 * share, -126) for d in (-8, 8))
        back = tuple(_plumb(150 + d, 0.0, 0.84 * share, 99) for d in (-8, 8))
        return [Mark("upper", (*front, *back), 0), Mark("bag", (_level(0.46),), 0)]
    if person.carried == "handbag":
        return [Mark("bag", (_level(0.46), _ring(0.46, 90, 0.05, 8), _ring(0.46, -90, 0.05, 8)), 0)]
    if person.carried == "suitcase":
        return [Mark("bag", (*(_plumb(t) for t in range(-180, 180, 30)), _level(0.5)), 1)]
    if person.carried == "shopping bag":
        boxes = tuple(
            ((0.36, c - 28), (0.36, c + 28), (0.64, c + 28), (0.64, c - 28), (0.36, c - 28)) for c in (90.0, -90.0)
        )
        return [Mark("bag", boxes, 1)]
    return []


def _details(person: Person) -> list[Mark]:
    lower = LOWERS[person.lower]
    marks = []
    if lower.skirt:
        marks.append(Mark("skirt", tuple(_plumb(t, 0.3, 1.0) for t in range(-180, 180, 36)), 1))
    elif person.lower == "shorts":
        marks.append(Mark("leg", (_level(0.46),), 0))
    elif person.lower != "bare legs":
        marks.append(Mark("leg", (_plumb(90, 0.05, 0.98), _plumb(-90, 0.05, 0.98)), 2))
        marks.append(Mark("leg", (_level(0.49, -50, 10), _level(0.52, -30, 40)), 2))
    if person.shoes == "boots" and person.lower not in ("wide trousers", "trousers"):
        marks.append(Mark("leg", (_level(0.8),), 0))
    if person.shoes == "trainers":
        marks.append(Mark("shoe", (_plumb(140), _plumb(-140)), 1))
    if person.hat == "beanie":
        marks.append(Mark("hat", (_level(0.64), *(_plumb(t, 0.66, 1.0) for t in range(-180, 180, 24))), 1))
    elif person.hat == "brimmed hat":
        marks.append(Mark("hat", (_level(0.55), _level(0.78)), 0))
    if person.scarf:
        marks.append(Mark("scarf", (_level(0.4, -150, 60), _plumb(30, 0.2, 1.0)), 0))
    return marks
