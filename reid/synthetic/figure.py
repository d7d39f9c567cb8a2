"""A person's body as parts: generalised cylinders about the bones, dressed.

A part has an axis from one joint to another and, at nine places along it, an elliptical section: `side` the half-width
from left to right, `deep` from front to back, `shift` how far the section lies ahead of the axis, in cm. Seen from any
side such a part is a strip whose edges and surface coordinates follow in closed form (`reid.synthetic.view`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from reid.synthetic.person import Person
from reid.synthetic.pose import INDEX
from reid.synthetic.wardrobe import LOWERS, UPPERS

RINGS = 9
FINE = 65  # sections after interpolation
Ring = tuple[float, float, float]
Float = NDArray[np.float32]


@dataclass(frozen=True)
class Part:
    """One part of a figure.

    Attributes:
        label: what it is ("torso", "left shin", ...). surface: parts of one garment share it, no line is drawn between.
        start, end: joints. rings: `RINGS` of (side, deep, shift) in cm.
        tile: texture of `reid.synthetic.atlas`. rows: share of the tile's height that this part shows.
        order: how it is sorted ("leg", "arm", "trunk", ...). layer: within that, later covers earlier.
        rounded: ends are round, not cut.
    """

    label: str
    surface: str
    start: str
    end: str
    rings: tuple[Ring, ...]
    tile: str
    rows: tuple[float, float]
    order: str
    layer: float
    rounded: bool = False


@dataclass(frozen=True)
class Figure:
    """The parts of one person as arrays. P parts.

    Attributes:
        parts: in no particular order.
        starts, ends: int [P], joint numbers.
        side, deep, shift: float32 [P, FINE], cm, for this person's height.
        rounded: float32 [P], 1 for round ends. headed: bool [P], turns with the head.
    """

    parts: tuple[Part, ...]
    starts: NDArray[np.intp]
    ends: NDArray[np.intp]
    side: Float
    deep: Float
    shift: Float
    rounded: Float
    headed: NDArray[np.bool_]


@lru_cache(maxsize=1024)
def make_figure(person: Person) -> Figure:
    """The dressed body of a person."""
    parts = (
        *_legs(person), *_trunk(person), *_arms(person), *_head(person), *_hair(person), *_hat(person),
        *_carried(person),
    )  # fmt: skip
    rings = np.array([part.rings for part in parts], dtype=np.float32) * np.float32(person.height / 175)
    at = np.arange(FINE, dtype=np.float32) * np.float32((RINGS - 1) / (FINE - 1))
    low = np.minimum(at.astype(np.intp), RINGS - 2)
    rings = rings[:, low] + (rings[:, low + 1] - rings[:, low]) * (at - low.astype(np.float32))[None, :, None]
    return Figure(
        parts,
        np.array([INDEX[part.start] for part in parts]),
        np.array([INDEX[part.end] for part in parts]),
        np.ascontiguousarray(rings[:, :, 0]),
        np.ascontiguousarray(rings[:, :, 1]),
        np.ascontiguousarray(rings[:, :, 2]),
        np.array([part.rounded for part in parts], dtype=np.float32),
        np.array([part.order in ("head", "hair", "hat", "brim") for part in parts]),
    )


# Half-widths of the bare body in cm at heights of a person of 175 cm: height, side, deep, shift.
_BODY = {
    "man": (
        (150, 6.3, 6.5, -1.5), (147, 8.6, 7.8, -1.5), (144, 14.0, 8.8, -1.5), (141, 18.2, 9.6, -1.0),
        (137, 19.2, 10.6, -0.5), (128, 17.8, 11.4, 0.4), (118, 16.2, 10.8, 0.6), (108, 15.0, 10.4, 0.6),
        (100, 15.4, 10.8, 0.0), (92, 16.4, 11.6, -0.8), (84, 16.4, 11.2, -1.0), (60, 16.4, 11.0, -0.5),
        (20, 16.4, 11.0, 0.0),
    ),
    "woman": (
        (150, 5.4, 5.8, -1.5), (147, 7.4, 7.0, -1.5), (144, 12.4, 8.0, -1.3), (141, 16.0, 8.8, -0.8),
        (137, 17.0, 10.0, 0.2), (128, 15.6, 12.0, 1.8), (118, 13.8, 10.2, 1.0), (108, 12.8, 9.2, 0.4),
        (100, 14.6, 10.2, -0.4), (92, 17.0, 12.0, -1.2), (84, 17.4, 11.8, -1.4), (60, 17.4, 11.4, -0.8),
        (20, 17.4, 11.4, 0.0),
    ),
}  # fmt: skip
_GIRTH = {"slim": (0.92, 0.9), "average": (1.0, 1.0), "broad": (1.09, 1.06), "heavy": (1.2, 1.32)}


def body_ring(person: Person, height: float, ease: float = 0.0) -> Ring:
    """Section of the trunk at a height (cm, of a person of 175 cm) under cloth that stands off by `ease` cm."""
    table = _BODY[person.gender]
    wide, deep = _GIRTH[person.girth]
    for (high, *upper), (low, *lower) in zip(table, table[1:], strict=False):
        if height >= low:
            w = min(1.0, (high - height) / (high - low))
            a, b, c = (p + (q - p) * w for p, q in zip(upper, lower, strict=True))
            # What is heavy is so at the belly, not at the neck.
            belly = max(0.0, 1 - abs(height - 106) / 36)
            grow = (wide - 1) * min(1.0, (152 - height) / 24)
            return (
                a * (1 + grow) + ease,
                b * (1 + (deep - 1) * belly + grow * 0.3) + ease,
                c + (deep - 1) * belly * 7,
            )
    return body_ring(person, table[-1][0], ease)


def _blend(*ends: float, power: int = 1) -> list[float]:
    """`RINGS` values through the given ones, evenly spaced."""
    out = []
    for i in range(RINGS):
        at = i / (RINGS - 1) * (len(ends) - 1)
        j = min(int(at), len(ends) - 2)
        w = at - j
        out.append(ends[j] + (ends[j + 1] - ends[j]) * (w if power == 1 else w * w))
    return out


def _limb(*widths: float, flat: float = 1.0, shift: tuple[float, ...] = (0.0, 0.0)) -> tuple[Ring, ...]:
    shifts = _blend(*shift)
    return tuple((w, w * flat, c) for w, c in zip(_blend(*widths), shifts, strict=True))


def _legs(person: Person) -> list[Part]:
    cut = LOWERS[person.lower]
    thick = 0.5 + 0.5 * _GIRTH[person.girth][0]
    long = not cut.skirt and person.lower not in ("shorts", "bare legs")
    thigh, knee = (8.6 * thick + cut.thigh, 6.0 * thick + (cut.thigh + cut.ankle) / 2)
    parts = []
    for side in ("left", "right"):
        if long:
            upper = _limb(thigh, thigh * 0.98, knee)
            lower = _limb(knee, max(5.6 * thick + cut.ankle * 0.8, knee * 0.92), 4.0 * thick + cut.ankle)
        elif person.lower == "shorts":
            wide, bare = 8.6 * thick + 3.0, 6.4 * thick
            upper = tuple((w, w, 0.0) for w in (*[wide] * 7, wide + 0.4, bare))
            lower = _limb(6.0 * thick, 5.7 * thick, 4.6, 3.6)
        else:
            upper = _limb(8.6 * thick, 8.0 * thick, 6.0 * thick)
            lower = _limb(6.0 * thick, 5.7 * thick, 4.6, 3.6)
        low = person.shoes != "boots"
        foot = _limb(4.2, 4.8, 4.2, 3.2) if low else _limb(4.8, 5.2, 4.6, 3.6)
        parts += [
            Part(f"{side} foot", f"{side} foot", f"{side} heel", f"{side} toe", foot, "shoe", (0, 1), side, 0, True),
            Part(f"{side} shin", side, f"{side} knee", f"{side} ankle", lower, "leg", (0.5, 1), side, 1, True),
            Part(f"{side} thigh", side, f"{side} hip", f"{side} knee", upper, "leg", (0, 0.5), side, 2, True),
        ]
    return parts


def _trunk(person: Person) -> list[Part]:
    cut, lower = UPPERS[person.upper], LOWERS[person.lower]

    def strip(high: float, low: float, ease: float, flare: float = 1.0) -> tuple[Ring, ...]:
        rings = []
        for i in range(RINGS):
            w = i / (RINGS - 1)
            a, b, c = body_ring(person, high + (low - high) * w, ease * min(1.0, 0.35 + 3 * w))
            grow = 1 + (flare - 1) * w
            rings.append((a * grow, b * grow, c))
        return tuple(rings)

    hips = strip(106, 80, 1.0 if lower.skirt else max(1.0, lower.thigh * 0.7))
    parts = [Part("hips", "legs", "waist", "crotch", hips, "leg", (0, 0.08), "trunk", 0)]
    parts.append(Part("neck", "neck", "nape", "neck", _neck(person), "skin", (0, 1), "trunk", 5))
    long = cut.hem < 80
    share = 0.52 if long else 1.0
    trunk = strip(148.5, max(cut.hem, 86), cut.ease)
    parts.append(Part("torso", "upper", "neck", "upper hem", trunk, "upper", (0, share), "trunk", 4))
    if long:
        tail = strip(98, cut.hem, cut.ease, cut.flare)
        parts.append(Part("tail", "upper", "skirt top", "skirt hem", tail, "upper", (0.42, 1), "trunk", 3))
    if lower.skirt:
        skirt = strip(104, lower.hem, 1.2, lower.flare)
        parts.append(Part("skirt", "skirt", "skirt top", "skirt hem", skirt, "skirt", (0, 1), "trunk", 2))
        if long:
            parts.pop()
    if person.scarf:
        wide = 8.6 if person.gender == "man" else 7.8
        ring = tuple(
            (w, w * 1.05, c) for w, c in zip(_blend(wide - 1, wide + 1, wide + 1.5), _blend(-1, 1), strict=True)
        )
        parts.append(Part("scarf", "scarf", "scarf top", "scarf end", ring, "scarf", (0, 1), "trunk", 6, True))
    elif person.upper == "hoodie":
        ring = tuple((w, w * 0.9, c) for w, c in zip(_blend(6, 9.5, 10), _blend(-4, -5), strict=True))
        parts.append(Part("hood", "upper", "scarf top", "scarf end", ring, "hood", (0, 1), "hood", 0, True))
    return parts


def _neck(person: Person) -> tuple[Ring, ...]:
    wide = 5.6 if person.gender == "man" else 4.7
    return _limb(wide, wide, wide * 1.3, shift=(0.5, -1.0))


def _arms(person: Person) -> list[Part]:
    cut = UPPERS[person.upper]
    thick = (0.5 + 0.5 * _GIRTH[person.girth][0]) * (1.0 if person.gender == "man" else 0.88)
    bare = (5.0 * thick, 4.4 * thick, 4.2 * thick, 4.2 * thick, 3.6 * thick, 2.9 * thick)
    ease = cut.ease * 0.75
    parts = []
    for side in ("left", "right"):
        if person.sleeve == "long":
            upper = _limb(bare[0] + ease + 0.6, bare[1] + ease + 0.3, bare[2] + ease)
            lower = _limb(bare[3] + ease, bare[4] + ease * 1.05, bare[5] + ease * 0.9)
        elif person.sleeve == "short":
            upper = tuple(
                (w, w, 0.0) for w in (*[bare[0] + ease + 0.8] * 4, bare[0] + ease + 1.0, bare[0] + ease, *bare[1:2] * 3)
            )
            lower = _limb(*bare[3:])
        else:
            upper, lower = _limb(*bare[:3]), _limb(*bare[3:])
        hand = _limb(2.8 * thick, 4.0 * thick, 3.6 * thick, 2.2 * thick, flat=0.8)
        name = f"{side} arm"
        parts += [
            Part(
                f"{side} hand", "hand " + side, f"{side} wrist", f"{side} fingers", hand, "skin", (0, 1), name, 0, True
            ),
            Part(f"{side} forearm", name, f"{side} elbow", f"{side} wrist", lower, "sleeve", (0.5, 1), name, 1, True),
            Part(
                f"{side} upper arm", name, f"{side} shoulder", f"{side} elbow", upper, "sleeve", (0, 0.5), name, 2, True
            ),
        ]
    return parts


# Half-widths of the head from crown to chin: the hair's volume is added to the first five.
_HEAD_SIDE = (3.2, 5.8, 7.1, 7.6, 7.6, 7.3, 6.7, 5.3, 3.2)
_HEAD_DEEP = (4.0, 7.6, 9.2, 9.7, 9.7, 9.2, 8.2, 6.8, 4.4)
_HEAD_SHIFT = (-0.6, -0.6, -0.6, -0.4, -0.2, 0.3, 0.8, 1.4, 1.8)
_VOLUME = {"bald": 0.0, "cropped": 0.3, "short": 1.1, "curly": 2.2, "shoulder-length": 1.2, "long": 1.0}


def _head(person: Person) -> list[Part]:
    volume = 0.2 if person.hat != "none" else _VOLUME.get(person.hair, 0.8)
    size = 1.0 if person.gender == "man" else 0.96
    rings = []
    for i in range(RINGS):
        more = volume * max(0.0, 1 - i / 5)
        rings.append((_HEAD_SIDE[i] * size + more, _HEAD_DEEP[i] * size + more, _HEAD_SHIFT[i]))
    return [Part("head", "head", "crown", "chin", tuple(rings), "head", (0, 1), "head", 0, True)]


def _hair(person: Person) -> list[Part]:
    rings: tuple[Ring, ...]
    if person.hair == "bun":
        rings = _limb(3.0, 4.2, 4.2, 3.0)
    elif person.hair == "ponytail":
        rings = _limb(2.4, 3.4, 3.0, 1.2)
    elif person.hair == "curly":
        rings = tuple((a, a * 0.9, -2.0) for a in _blend(6.0, 10.6, 11.6, 11.0, 7.5))
    elif person.hair == "shoulder-length":
        rings = tuple((a, b, 0.0) for a, b in zip(_blend(5, 9.4, 10.2, 10.0), _blend(4, 8, 7.5, 6.5), strict=True))
    elif person.hair == "long":
        rings = tuple((a, b, 0.0) for a, b in zip(_blend(5, 9.6, 10.4, 10, 7.0), _blend(4, 8, 7, 5, 4), strict=True))
    else:
        return []
    if person.hat != "none" and person.hair in ("bun", "curly"):
        return []
    return [Part("hair", "hair", "hair top", "hair end", rings, "hair", (0, 1), "hair", 0, True)]


def _hat(person: Person) -> list[Part]:
    if person.hat == "none":
        return []
    if person.hat == "beanie":
        crown = tuple((a, a * 1.22, -0.5) for a in _blend(3.5, 7.0, 8.6, 9.0, 9.0))
        return [Part("hat", "hat", "hat top", "hat edge", crown, "hat", (0, 1), "hat", 0, True)]
    if person.hat == "cap":
        crown = tuple((a, a * 1.22, -0.5) for a in _blend(4.0, 7.4, 8.5, 8.7))
        brim = tuple((a, 1.1, 0.0) for a in _blend(7.6, 7.4, 5.4))
        return [
            Part("hat", "hat", "hat top", "hat edge", crown, "hat", (0, 0.8), "hat", 0, True),
            Part("brim", "brim", "brim back", "brim front", brim, "hat", (0.8, 1), "brim", 0, True),
        ]
    crown = tuple((a, a * 1.15, -0.5) for a in _blend(6.6, 7.8, 8.4, 8.6))
    brim = tuple((a, a * 1.08, 0.0) for a in _blend(16.5, 17.0))
    return [
        Part("hat", "hat", "hat top", "hat edge", crown, "hat", (0, 0.8), "hat", 1, True),
        Part("brim", "brim", "brim back", "brim front", brim, "hat", (0.8, 1), "hat", 0),
    ]


def _carried(person: Person) -> list[Part]:
    def box(label: str, side: float, deep: float, order: str, *widths: float) -> Part:
        rings = tuple((side * w, deep * w, 0.0) for w in _blend(*widths))
        return Part(label, label, "bag top", "bag end", rings, "bag", (0, 1), order, 0)

    def handle(width: float, order: str) -> Part:
        rings = _limb(width, width)
        return Part("handle", "handle", "handle top", "handle end", rings, "strap", (0, 1), order, -1)

    match person.carried:
        case "backpack":
            return [box("backpack", 15, 9, "backpack", 0.62, 0.9, 1.0, 1.0, 1.02, 0.94)]
        case "shoulder bag":
            return [box("shoulder bag", 5, 14, "side bag", 0.9, 1.0, 1.0, 0.95)]
        case "handbag":
            return [box("handbag", 5, 13, "held", 0.78, 0.95, 1.0, 1.0), handle(0.8, "held")]
        case "shopping bag":
            return [box("shopping bag", 6, 14, "held", 0.94, 0.97, 1.0), handle(0.6, "held")]
        case "suitcase":
            return [box("suitcase", 17, 11, "suitcase", 0.96, 1.0, 1.0, 0.97), handle(0.9, "suitcase")]
        case "umbrella":
            rings = _limb(2.6, 3.2, 2.0, 0.6)
            return [
                Part("umbrella", "umbrella", "bag top", "bag end", rings, "bag", (0, 1), "held", -1, True),
                handle(0.9, "held"),
            ]
    return []
