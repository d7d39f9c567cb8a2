"""Heads with hair and hats, and what people carry."""

from __future__ import annotations

from reid.synthetic.part import RINGS, Part, blend, rings
from reid.synthetic.person import Person

# Half-widths of the head from crown to chin, and how far each section lies ahead of the axis.
_SIDE = (5.0, 6.6, 7.4, 7.6, 7.6, 7.3, 6.7, 5.5, 3.9)
_DEEP = (6.2, 8.4, 9.4, 9.7, 9.7, 9.2, 8.2, 6.9, 5.0)
_AHEAD = (-0.6, -0.6, -0.6, -0.4, -0.2, 0.3, 0.8, 1.4, 1.8)
# How far the hair stands off the skull, cm.
_VOLUME = {"bald": 0.0, "cropped": 0.3, "short": 1.0, "curly": 2.0, "shoulder-length": 1.1, "long": 0.9}


def make_head(person: Person) -> list[Part]:
    """The head with its hair and hat."""
    volume = 0.2 if person.hat != "none" else _VOLUME.get(person.hair, 0.7)
    size = 1.0 if person.gender == "man" else 0.96
    hair = [volume * max(0.0, 1 - i / 5) for i in range(RINGS)]
    side = [w * size + more for w, more in zip(_SIDE, hair, strict=True)]
    deep = [w * size + more for w, more in zip(_DEEP, hair, strict=True)]
    head = Part("head", "head", "crown", "chin", rings(side, deep, list(_AHEAD)), "head", (0, 1), "head", 0, 0.5, 0.5)
    return [head, *_hair(person), *_hat(person)]


def _hair(person: Person) -> list[Part]:
    covered = person.hat != "none"
    strands = []
    if person.hair == "bun" and not covered:
        sections = rings(blend(2.6, 4.2, 4.2, 2.6))
    elif person.hair == "ponytail":
        sections = rings(blend(1.8, 3.4, 3.2, 1.2))
    elif person.hair == "curly" and not covered:
        sections = rings(blend(8.0, 11.0, 11.8, 11.0, 8.0), 0.92, -2.0)
    elif person.hair == "shoulder-length":
        sections = rings(blend(6.5, 9.0, 9.8, 9.6), blend(5, 8, 7.5, 6.5))
        strands = blend(1.8, 2.6, 2.0)
    elif person.hair == "long":
        sections = rings(blend(6.5, 9.2, 10.0, 9.6, 7.0), blend(5, 8, 7, 5, 4))
        strands = blend(1.8, 3.0, 3.2, 1.8)
    else:
        return []
    parts = [Part("hair", "hair", "hair top", "hair end", sections, "hair", (0, 1), "hair", 0, 0.9, 0.6)]
    for side in ("left", "right") if strands else ():
        top, end = f"{side} strand top", f"{side} strand end"
        parts.append(Part(f"{side} strand", "hair", top, end, rings(strands), "hair", (0, 1), "strand", 0, 0.9, 0.9))
    return parts


def _hat(person: Person) -> list[Part]:
    def crown(sections: list[float], dome: float, rows: float, layer: float = 0) -> Part:
        return Part(
            "hat", "hat", "hat top", "hat edge", rings(sections, 1.2, -0.5), "hat", (0, rows), "hat", layer, dome, 0.1
        )

    if person.hat == "beanie":
        return [crown(blend(5.2, 7.6, 8.6, 8.9, 8.9), 0.5, 1.0)]
    if person.hat == "cap":
        brim = rings(blend(7.4, 7.4, 5.4), [1.1] * RINGS)
        return [
            crown(blend(5.8, 7.9, 8.5, 8.6), 0.45, 0.8),
            Part("brim", "brim", "brim back", "brim front", brim, "hat", (0.8, 1), "brim", 0, 0.1, 0.3),
        ]
    if person.hat == "brimmed hat":
        disc = rings(blend(16.0, 16.4), 1.08)
        return [
            crown(blend(6.8, 7.9, 8.3, 8.5), 0.25, 0.8, 1),
            Part("brim", "brim", "brim back", "brim front", disc, "hat", (0.8, 1), "hat", 0),
        ]
    return []


def make_carried(person: Person) -> list[Part]:
    """Bags, and the handles between them and the hand."""

    def box(name: str, side: float, deep: float, order: str, widths: list[float], boxy: float, top: float) -> Part:
        sections = rings([side * w for w in widths], [deep * w for w in widths])
        return Part(name, name, "bag top", "bag end", sections, "bag", (0, 1), order, 0, top, 0.05, boxy)

    def handle(width: float, order: str) -> Part:
        return Part("handle", "handle", "handle top", "handle end", rings([width] * RINGS), "strap", (0, 1), order, -1)

    match person.carried:
        case "backpack":
            return [box("backpack", 15, 9, "backpack", blend(0.72, 0.92, 1.0, 1.0, 1.02, 0.94), 0.5, 0.3)]
        case "shoulder bag":
            return [box("shoulder bag", 5, 14, "side bag", blend(0.9, 1.0, 1.0, 0.95), 0.7, 0.05)]
        case "handbag":
            return [box("handbag", 5, 13, "held", blend(0.78, 0.95, 1.0, 1.0), 0.6, 0.15), handle(0.8, "held")]
        case "shopping bag":
            return [box("shopping bag", 6, 14, "held", blend(0.94, 0.97, 1.0), 0.9, 0.0), handle(0.6, "held")]
        case "suitcase":
            return [
                box("suitcase", 17, 11, "suitcase", blend(0.96, 1.0, 1.0, 0.97), 0.9, 0.05),
                handle(0.9, "suitcase"),
            ]
        case "umbrella":
            folded = rings(blend(2.6, 3.2, 2.0, 0.6))
            return [
                Part("umbrella", "umbrella", "bag top", "bag end", folded, "bag", (0, 1), "held", -1, 0.5, 0.9),
                handle(0.9, "held"),
            ]
    return []
