"""Paints heads, hair, hats, scarves, shoes and bags, each on its own texture."""

from __future__ import annotations

import numpy as np

from reid.synthetic.cloth import Canvas, paint_cloth, plain_cloth, skin_of, tinted
from reid.synthetic.person import Person
from reid.synthetic.wardrobe import HAIR_COLOURS, HAIR_INFRARED, SKIN


def paint_head(person: Person, head: Canvas) -> None:
    """A face, ears, beard, glasses and the hair on the skull."""
    skin, skin_nir = skin_of(person)
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
    base = HAIR_COLOURS[person.hair_colour]
    if person.hair == "cropped":
        base = tuple((3 * h + s) // 4 for h, s in zip(base, SKIN[person.skin], strict=True))  # type: ignore[assignment]
    return tinted(base, person.grain, "hair"), HAIR_INFRARED[person.hair_colour]


def paint_hair(person: Person, hair: Canvas) -> None:
    """Hair that hangs or is tied up."""
    hair.fill(hair.v >= 0, *_hair_colour(person))
    hair.streak(hair.v >= 0, 0.32)


def paint_skin(person: Person, skin: Canvas) -> None:
    """Neck and hands."""
    skin.fill(skin.v >= 0, *skin_of(person))
    skin.shade(skin.v < 0.5, 0.84)


def paint_hat(person: Person, hat: Canvas) -> None:
    """A hat, its brim in the last fifth."""
    fabric = {"beanie": "knit", "cap": "twill"}.get(person.hat, "wool")
    paint_cloth(hat, plain_cloth(person, "hat", person.hat_colour, fabric), person.grain, 14.0, 56.0)
    if person.hat == "beanie":
        hat.shade((hat.v > 0.62) & (hat.v < 0.7), 0.66)
        return
    if person.hat == "brimmed hat":
        hat.shade((hat.v > 0.55) & (hat.v < 0.78), 0.4)
    hat.shade(hat.v > 0.8, 0.82)


def paint_scarf(person: Person, scarf: Canvas) -> None:
    """A scarf, wound round twice."""
    paint_cloth(scarf, plain_cloth(person, "scarf", person.scarf or "black", "wool"), person.grain, 10.0, 50.0)
    scarf.shade(np.abs(scarf.v - 0.45) < 0.12, 0.7)


def paint_shoe(person: Person, shoe: Canvas) -> None:
    """A shoe from heel to toe; its sole is on the far side."""
    leather = person.shoes != "trainers"
    paint_cloth(
        shoe,
        plain_cloth(person, "shoes", person.shoe_colour, "leather" if leather else "canvas"),
        person.grain,
        26.0,
        24.0,
    )
    sole = np.abs(shoe.turn) > (150 if leather else 136)
    shoe.fill(sole, (40, 36, 34) if leather else (226, 226, 224), 0.2 if leather else 0.8)
    if person.shoes == "sandals":
        shoe.fill((shoe.v * np.float32(4.0) % 1 < 0.5) & ~sole, *skin_of(person))
    elif not leather:
        shoe.fill((np.abs(shoe.turn) < 24) & (np.abs(shoe.v - 0.5) < 0.12), (230, 230, 228), 0.8)


_BAG_FABRIC = {"suitcase": "nylon", "handbag": "leather", "umbrella": "nylon", "shopping bag": "poplin"}


def paint_strap(person: Person, strap: Canvas) -> None:
    """The handle of a bag."""
    fabric = _BAG_FABRIC.get(person.carried, "canvas")
    strap.cover(strap.v >= 0, plain_cloth(person, "bag", person.carried_colour, fabric), person.grain)
    strap.shade(strap.v >= 0, 0.7)


def paint_bag(person: Person, bag: Canvas) -> None:
    """Whatever is carried."""
    fabric = _BAG_FABRIC.get(person.carried, "canvas")
    cloth = plain_cloth(person, "bag", person.carried_colour, fabric)
    paint_cloth(bag, cloth, person.grain, 44.0, 60.0)
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
