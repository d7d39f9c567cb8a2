"""Paints upper and lower garments, each on its own texture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reid.synthetic.cloth import Canvas, paint_cloth, plain_cloth, skin_of
from reid.synthetic.person import Person
from reid.synthetic.wardrobe import LOWERS, UPPERS


def paint_upper(person: Person, torso: Canvas) -> None:
    """The trunk of the upper garment, with what is worn across it."""
    length = 148.5 - UPPERS[person.upper].hem
    paint_cloth(torso, person.upper_cloth, person.grain, length, 96.0)
    _paint_front(person, torso, length)
    _paint_straps(person, torso)


def paint_sleeve(person: Person, sleeve: Canvas) -> None:
    """An arm from shoulder to wrist, bare where the sleeve ends."""
    paint_cloth(sleeve, person.upper_cloth, person.grain, 58.0, 34.0, logo=False, block=False)
    if person.sleeve != "long":
        limit = 0.36 if person.sleeve == "short" else 0.03
        sleeve.fill(sleeve.v > limit, *skin_of(person))
        sleeve.shade((sleeve.v > limit) & (sleeve.v < limit + 0.06), 0.78)
    else:
        sleeve.shade(sleeve.v > 0.955, 0.8)


def paint_hood(person: Person, hood: Canvas) -> None:
    """A hood that hangs on the back."""
    paint_cloth(hood, person.upper_cloth, person.grain, 12.0, 60.0, logo=False, block=False)
    hood.shade(hood.v < 0.4, 0.6)


def _paint_front(person: Person, torso: Canvas, length: float) -> None:
    """Neckline, fastening, pockets and hem; `length` of the garment in cm."""
    cut = UPPERS[person.upper]
    cm, turn = torso.v * np.float32(length), torso.turn
    middle = np.abs(turn)
    skin, skin_nir = skin_of(person)
    if cut.front == "closed" and person.upper != "hoodie":
        deep = {"vest top": 13.0, "dress": 9.0, "t-shirt": 6.0}.get(person.upper, 4.0)
        neckline = (cm < deep) & (middle < 46 * (1 - cm / np.float32(deep)) + 8) & (cm < deep - 0.5)
        torso.shade((cm < deep + 2) & (middle < 58), 0.88)
        torso.fill(neckline, skin, skin_nir)
        if person.upper == "vest top" or person.sleeve == "none":
            torso.fill((cm < 9) & (np.abs(middle - 90) < 46), skin, skin_nir)
    if cut.front == "open":
        inner = plain_cloth(person, "inner", person.inner, "jersey")
        gap = (middle < 13 + 11 * torso.v) & (cm > 3)
        torso.cover(gap, inner, person.grain)
        torso.shade(gap & (middle > 10 + 9 * torso.v), 0.72)
        torso.shade((middle > 13 + 11 * torso.v) & (middle < 21 + 11 * torso.v) & (cm < 24), 1.22)
    if cut.front == "zip":
        torso.fill((middle < 3) & (cm > 3), (150, 152, 156), 0.7)
        torso.shade((middle >= 3) & (middle < 9), 0.78)
    if cut.front == "buttons":
        torso.shade((middle >= 4) & (middle < 8) & (turn > 0), 0.7)
        torso.shade((middle < 6) & (cm % np.float32(9.0) < 2.6) & (cm > 8), 0.45)
        torso.shade((cm < 5) & (middle < 70) & (middle > 6), 1.18)
        torso.shade((cm >= 5) & (cm < 7) & (middle < 60), 0.78)
        if person.upper.endswith("coat"):
            torso.shade((np.abs(middle - (22 - 0.8 * cm)) < 6) & (cm < 26), 0.74)
    waist = 148.5 - 104
    if person.upper == "hoodie":
        torso.shade((np.abs(cm - 42) < 1.2) & (middle < 40), 0.7)
        torso.shade((np.abs(middle - 42) < 5) & (cm > 42) & (cm < 58), 0.74)
        torso.fill((np.abs(middle - 9) < 3.5) & (cm > 4) & (cm < 18), (226, 226, 222), 0.8)
    elif person.upper in ("jacket", "open jacket", "coat", "long coat", "down jacket"):
        torso.shade((np.abs(cm - 50) < 1.6) & (np.abs(middle - 44) < 18), 0.64)
    if person.upper == "dress":
        torso.shade(np.abs(cm - waist) < 1.8, 0.62)
    if person.upper in ("sweater", "hoodie", "jacket", "down jacket"):
        torso.shade(cm > length - 5, 0.86)
        torso.shade(np.abs(cm - (length - 5)) < 0.9, 0.68)
    torso.shade(cm > length - 1.6, 0.8)


def _paint_straps(person: Person, torso: Canvas) -> None:
    turn, v = torso.turn, torso.v
    share = np.float32((148.5 - UPPERS[person.upper].hem) / 62.0)  # rows of a long coat are further apart
    if person.carried not in ("backpack", "shoulder bag"):
        return
    cloth = plain_cloth(person, "bag", person.carried_colour, "canvas")
    if person.carried == "backpack":
        band = (np.abs(np.abs(turn) - 33) < 8) & (v * share < 0.5)
    else:
        along = v * share
        front = np.abs(turn - (34 - 150 * along)) < 8
        back = np.abs((turn % 360) - (150 + 118 * along)) < 8
        band = (front | back) & (along < 0.84)
    torso.shade(_grown(band), 0.7)
    torso.cover(band, cloth, person.grain)


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    grown: NDArray[np.bool_] = mask | np.roll(mask, 1, axis=1) | np.roll(mask, -1, axis=1)
    return grown


def paint_leg(person: Person, leg: Canvas) -> None:
    """A leg from hip to ankle in trousers, socks or boots, bare where there are none."""
    cut, cloth = LOWERS[person.lower], person.lower_cloth
    skin, skin_nir = skin_of(person)
    paint_cloth(leg, cloth, person.grain, 86.0, 52.0, logo=False)
    turn = np.abs(leg.turn)
    if cut.skirt or person.lower in ("shorts", "bare legs"):
        limit = 0.46 if person.lower == "shorts" else -1.0
        leg.fill(leg.v > limit, skin, skin_nir)
        leg.shade((leg.v > limit) & (leg.v < limit + 0.06), 0.7)
        leg.shade((np.abs(leg.v - 0.5) < 0.03) & (turn < 50), 0.92)
    else:
        leg.shade(leg.v > 0.975, 0.8)
        leg.shade((np.abs(turn - 90) < 5) & (leg.v < 0.98), 0.86)
        if person.lower == "jeans":
            leg.shade((turn < 42) & (leg.v > 0.1) & (leg.v < 0.46), 1.16)
            leg.shade((np.abs(leg.v - 0.5) < 0.02) & (turn < 60), 0.86)
        if person.lower == "trousers":
            leg.shade((turn < 5) & (leg.v > 0.06), 1.12)
    if person.shoes == "boots" and person.lower not in ("wide trousers", "trousers"):
        boots = plain_cloth(person, "shoes", person.shoe_colour, "leather")
        leg.cover(leg.v > 0.8, boots, person.grain)
        leg.shade(np.abs(leg.v - 0.8) < 0.02, 0.6)
    elif person.shoes == "trainers" and person.lower in ("shorts", "short skirt", "bare legs"):
        leg.fill(leg.v > 0.93, (222, 222, 220), 0.82)


def paint_skirt(person: Person, skirt: Canvas) -> None:
    """A pleated skirt."""
    paint_cloth(skirt, person.lower_cloth, person.grain, 104 - LOWERS[person.lower].hem, 100.0, logo=False)
    pleats = np.abs((skirt.turn % np.float32(36)) - 18) < 5
    skirt.shade(pleats & (skirt.v > 0.25), 0.84)
    skirt.shade(skirt.v < 0.06, 0.72)
    skirt.shade(skirt.v > 0.95, 0.82)
