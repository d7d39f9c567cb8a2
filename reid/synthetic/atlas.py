"""What covers a person, unrolled: one texture per garment, visible and infrared, painted once per person.

A texture's rows run along the part's axis, its columns once round it: column 0 is the front, columns grow towards the
person's left. All textures of a person are stacked into one table with five planes: red, green, blue (0..255) and
near-infrared reflectance (0..255), and gloss.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from reid.synthetic import wardrobe
from reid.synthetic.cloth import Canvas, paint_cloth, tinted
from reid.synthetic.draw import Draw
from reid.synthetic.person import Cloth, Person
from reid.synthetic.wardrobe import DYES, LOWERS, SKIN, SKIN_INFRARED, UPPERS

COLUMNS = 64
# Rows of each texture.
TILES = {
    "upper": 48, "sleeve": 32, "leg": 48, "skirt": 32, "head": 32, "hair": 16, "hat": 16, "scarf": 8, "hood": 8,
    "bag": 24, "shoe": 12, "skin": 4, "strap": 4,
}  # fmt: skip


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
    canvases = {
        tile: Canvas(rows * detail, COLUMNS * detail, ("tile", person.grain, tile)) for tile, rows in TILES.items()
    }
    _paint_upper(person, canvases)
    _paint_lower(person, canvases)
    _paint_head(person, canvases["head"])
    _paint_extras(person, canvases)
    planes = np.concatenate([canvas.planes() for canvas in canvases.values()], axis=1)
    first, at = {}, 0
    for tile, canvas in canvases.items():
        first[tile] = at
        at += canvas.rows
    gloss = {tile: canvas.gloss for tile, canvas in canvases.items()}
    return Atlas(planes, first, {tile: canvas.rows for tile, canvas in canvases.items()}, gloss)


def _plain(person: Person, slot: str, colour: str, fabric: str) -> Cloth:
    dye = Draw("dye", person.grain, slot).pick(tuple(DYES))
    return Cloth(colour, "plain", None, fabric, dye, dye)


def _skin(person: Person) -> tuple[tuple[int, int, int], float]:
    return SKIN[person.skin], SKIN_INFRARED


def _paint_upper(person: Person, canvases: dict[str, Canvas]) -> None:
    cut, cloth = UPPERS[person.upper], person.upper_cloth
    torso, sleeve = canvases["upper"], canvases["sleeve"]
    length = 148.5 - cut.hem
    paint_cloth(torso, cloth, length, 96.0)
    paint_cloth(sleeve, cloth, 58.0, 34.0, logo=False, block=False)
    skin, skin_nir = _skin(person)
    if person.sleeve != "long":
        limit = 0.36 if person.sleeve == "short" else 0.03
        sleeve.fill(sleeve.v > limit, skin, skin_nir)
        sleeve.shade((sleeve.v > limit) & (sleeve.v < limit + 0.06), 0.78)
    else:
        sleeve.shade(sleeve.v > 0.955, 0.8)
    _paint_front(person, torso, length)
    _paint_straps(person, torso)
    hood = canvases["hood"]
    paint_cloth(hood, cloth, 12.0, 60.0, logo=False, block=False)
    hood.shade(hood.v < 0.4, 0.6)


def _paint_front(person: Person, torso: Canvas, length: float) -> None:
    """Neckline, fastening, pockets and hem; `length` of the garment in cm."""
    cut = UPPERS[person.upper]
    cm, turn = torso.v * np.float32(length), torso.turn
    middle = np.abs(turn)
    skin, skin_nir = _skin(person)
    if cut.front == "closed" and person.upper != "hoodie":
        deep = {"vest top": 13.0, "dress": 9.0, "t-shirt": 6.0}.get(person.upper, 4.0)
        neckline = (cm < deep) & (middle < 46 * (1 - cm / np.float32(deep)) + 8) & (cm < deep - 0.5)
        torso.shade((cm < deep + 2) & (middle < 58), 0.88)
        torso.fill(neckline, skin, skin_nir)
        if person.upper == "vest top" or person.sleeve == "none":
            torso.fill((cm < 9) & (np.abs(middle - 90) < 46), skin, skin_nir)
    if cut.front == "open":
        inner = _plain(person, "inner", person.inner, "jersey")
        gap = (middle < 13 + 11 * torso.v) & (cm > 3)
        torso.cover(gap, inner)
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
    cloth = _plain(person, "bag", person.carried_colour, "canvas")
    if person.carried == "backpack":
        band = (np.abs(np.abs(turn) - 33) < 8) & (v * share < 0.5)
    else:
        along = v * share
        front = np.abs(turn - (34 - 150 * along)) < 8
        back = np.abs((turn % 360) - (150 + 118 * along)) < 8
        band = (front | back) & (along < 0.84)
    torso.shade(_grown(band), 0.7)
    torso.cover(band, cloth)


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    grown: NDArray[np.bool_] = mask | np.roll(mask, 1, axis=1) | np.roll(mask, -1, axis=1)
    return grown


def _paint_lower(person: Person, canvases: dict[str, Canvas]) -> None:
    cut, cloth = LOWERS[person.lower], person.lower_cloth
    leg, skirt = canvases["leg"], canvases["skirt"]
    skin, skin_nir = _skin(person)
    paint_cloth(leg, cloth, 86.0, 52.0, logo=False)
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
        boots = _plain(person, "shoes", person.shoe_colour, "leather")
        leg.cover(leg.v > 0.8, boots)
        leg.shade(np.abs(leg.v - 0.8) < 0.02, 0.6)
    elif person.shoes == "trainers" and person.lower in ("shorts", "short skirt", "bare legs"):
        leg.fill(leg.v > 0.93, (222, 222, 220), 0.82)
    if cut.skirt:
        paint_cloth(skirt, cloth, 104 - cut.hem, 100.0, logo=False)
        # Pleats: wider where the skirt is wider.
        pleats = np.abs((skirt.turn % np.float32(36)) - 18) < 5
        skirt.shade(pleats & (skirt.v > 0.25), 0.84)
        skirt.shade(skirt.v < 0.06, 0.72)
        skirt.shade(skirt.v > 0.95, 0.82)


def _paint_head(person: Person, head: Canvas) -> None:
    skin, skin_nir = _skin(person)
    head.fill(head.v >= 0, skin, skin_nir)
    turn, v = np.abs(head.turn), head.v
    # Sockets, nose, lips and cheeks are shades of the skin.
    head.shade((np.abs(v - 0.5) < 0.05) & (np.abs(turn - 21) < 13), 0.86)
    head.shade((v > 0.5) & (v < 0.66) & (np.abs(turn - 9) < 5), 0.9)
    head.shade((np.abs(v - 0.66) < 0.025) & (turn < 11), 0.74)
    head.fill((np.abs(v - 0.78) < 0.028) & (turn < 15), tuple(round(c * 0.7) for c in skin), 0.5, (18, -12, -8))
    head.shade((v > 0.9) & (turn < 60), 0.86)
    head.shade((np.abs(v - 0.56) < 0.07) & (np.abs(turn - 88) < 9), 1.08)
    head.shade((np.abs(v - 0.56) < 0.04) & (np.abs(turn - 88) < 4), 0.7)
    head.fill((np.abs(v - 0.505) < 0.022) & (np.abs(turn - 21) < 8), (36, 28, 26), 0.2)
    hair, nir = _hair_colour(person)
    head.fill((np.abs(v - 0.425) < 0.018) & (np.abs(turn - 21) < 12), tuple(round(c * 0.8) for c in hair), nir)
    if person.beard:
        chin = (v > 0.74) & (turn < 78) & ~((np.abs(v - 0.78) < 0.03) & (turn < 13))
        stubble = tuple((2 * h + s) // 3 for h, s in zip(hair, skin, strict=True))
        head.fill(chin | ((np.abs(v - 0.715) < 0.02) & (turn < 26)), stubble, (2 * nir + skin_nir) / 3)
    if person.hair != "bald":
        face = {"cropped": 74.0, "short": 70.0}.get(person.hair, 62.0)
        low = {"cropped": 0.52, "short": 0.58, "curly": 0.66, "bun": 0.66, "ponytail": 0.66}.get(person.hair, 1.0)
        line = 0.22 if person.hair == "cropped" else 0.29
        # Behind the ears the hair reaches down to the neck.
        mane = (v < line) | ((turn > face) & (v < low)) | ((turn > 108) & (v < max(low, 0.86)))
        ear = (np.abs(turn - 88) < 9) & (v > 0.47) & (v < 0.64)
        if low < 1.0:
            mane &= ~ear
        head.fill(mane, hair, nir)
        head.streak(mane, 0.2)
    if person.glasses:
        lens = (np.abs(v - 0.505) < 0.06) & (np.abs(turn - 21) < 15)
        head.shade(lens, 0.8)
        rim = lens & ~((np.abs(v - 0.505) < 0.042) & (np.abs(turn - 21) < 11))
        head.fill(rim | ((np.abs(v - 0.49) < 0.014) & ((turn < 7) | ((turn > 35) & (turn < 86)))), (38, 36, 40), 0.15)


def _hair_colour(person: Person) -> tuple[tuple[int, int, int], float]:
    base = wardrobe.HAIR_COLOURS[person.hair_colour]
    if person.hair == "cropped":
        base = tuple((3 * h + s) // 4 for h, s in zip(base, SKIN[person.skin], strict=True))  # type: ignore[assignment]
    return tinted(base, person.grain, "hair"), wardrobe.HAIR_INFRARED[person.hair_colour]


def _paint_extras(person: Person, canvases: dict[str, Canvas]) -> None:
    skin, skin_nir = _skin(person)
    canvases["skin"].fill(canvases["skin"].v >= 0, skin, skin_nir)
    canvases["skin"].shade(canvases["skin"].v < 0.5, 0.84)
    hair = canvases["hair"]
    hair.fill(hair.v >= 0, *_hair_colour(person))
    hair.streak(hair.v >= 0, 0.32)
    hat = canvases["hat"]
    fabric = {"beanie": "knit", "cap": "twill"}.get(person.hat, "wool")
    paint_cloth(hat, _plain(person, "hat", person.hat_colour, fabric), 14.0, 56.0)
    if person.hat == "beanie":
        hat.shade((hat.v > 0.62) & (hat.v < 0.7), 0.66)
    elif person.hat == "brimmed hat":
        hat.shade((hat.v > 0.55) & (hat.v < 0.78), 0.4)
    hat.shade(hat.v > 0.8, 0.82)
    if person.scarf:
        scarf = canvases["scarf"]
        paint_cloth(scarf, _plain(person, "scarf", person.scarf, "wool"), 10.0, 50.0)
        scarf.shade(np.abs(scarf.v - 0.45) < 0.12, 0.7)
    _paint_bag(person, canvases)
    shoe = canvases["shoe"]
    leather = person.shoes != "trainers"
    paint_cloth(shoe, _plain(person, "shoes", person.shoe_colour, "leather" if leather else "canvas"), 26.0, 24.0)
    sole = np.abs(shoe.turn) > (150 if leather else 136)
    shoe.fill(sole, (40, 36, 34) if leather else (226, 226, 224), 0.2 if leather else 0.8)
    if person.shoes == "sandals":
        shoe.fill((shoe.v * np.float32(4.0) % 1 < 0.5) & ~sole, skin, skin_nir)
    elif not leather:
        shoe.fill((np.abs(shoe.turn) < 24) & (np.abs(shoe.v - 0.5) < 0.12), (230, 230, 228), 0.8)


def _paint_bag(person: Person, canvases: dict[str, Canvas]) -> None:
    bag, strap = canvases["bag"], canvases["strap"]
    fabric = {"suitcase": "nylon", "handbag": "leather", "umbrella": "nylon", "shopping bag": "poplin"}
    cloth = _plain(person, "bag", person.carried_colour, fabric.get(person.carried, "canvas"))
    paint_cloth(bag, cloth, 44.0, 60.0)
    v, turn = bag.v, np.abs(bag.turn)
    if person.carried == "backpack":
        bag.shade(np.abs(v - 0.34) < 0.022, 0.55)
        bag.shade((np.abs(v - 0.55) < 0.022) & (turn > 120), 0.5)
        bag.shade((np.abs(turn - 128) < 6) & (v > 0.55), 0.62)
        bag.shade((v > 0.57) & (turn > 128) & (v < 0.9), 1.1)
        bag.shade((turn < 128) & (np.abs(turn - 100) < 5), 0.7)
    elif person.carried == "suitcase":
        bag.shade(turn % np.float32(30) < 8, 0.76)
        bag.shade(np.abs(v - 0.5) < 0.02, 0.6)
        bag.fill(v > 0.95, (26, 26, 28), 0.2)
    elif person.carried in ("handbag", "shoulder bag"):
        bag.shade(np.abs(v - 0.46) < 0.03, 0.55)
        bag.fill((np.abs(v - 0.46) < 0.05) & (np.abs(turn - 90) < 8), (214, 190, 110), 0.7)
    elif person.carried == "shopping bag":
        bag.fill((np.abs(v - 0.5) < 0.14) & (np.abs(turn - 90) < 28), (236, 236, 232), 0.85)
    elif person.carried == "umbrella":
        bag.shade(turn % np.float32(60) < 14, 0.7)
    strap.cover(strap.v >= 0, cloth)
    strap.shade(strap.v >= 0, 0.7)


def garment_brightness(person: Person, tile: str = "upper") -> tuple[float, float]:
    """How bright a garment is to each kind of camera: mean luminance, mean near-infrared reflectance, both 0..255."""
    atlas = make_atlas(person)
    first, rows = atlas.first_row[tile], atlas.rows[tile]
    red, green, blue, nir = (float(plane[first : first + rows].astype(np.int64).sum()) for plane in atlas.planes)
    count = rows * atlas.columns
    return (0.299 * red + 0.587 * green + 0.114 * blue) / count, nir / count
