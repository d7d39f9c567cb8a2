"""Trunk, legs and arms, dressed."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

from reid.synthetic.part import RINGS, Part, Ring, blend, rings
from reid.synthetic.person import Person
from reid.synthetic.wardrobe import LOWERS, UPPERS

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


def body_ring(gender: str, girth: str, height: float, ease: float = 0.0) -> Ring:
    """Section of the trunk at a height (cm, of a person of 175 cm) under cloth that stands off by `ease` cm."""
    table = _BODY[gender]
    wide, deep = _GIRTH[girth]
    for (high, *upper), (low, *lower) in pairwise(table):
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
    return body_ring(gender, girth, table[-1][0], ease)


@lru_cache(maxsize=1024)
def _strip(gender: str, girth: str, high: float, low: float, ease: float, flare: float = 1.0) -> tuple[Ring, ...]:
    """Sections of the trunk under cloth from one height down to another, `flare` times as wide at the end."""
    sections = []
    for i in range(RINGS):
        w = i / (RINGS - 1)
        a, b, c = body_ring(gender, girth, high + (low - high) * w, ease * min(1.0, 0.3 + 3 * w))
        grow = 1 + (flare - 1) * w
        sections.append((a * grow, b * grow, c))
    return tuple(sections)


def _thickness(person: Person) -> float:
    """How thick limbs are."""
    return 0.5 + 0.5 * _GIRTH[person.girth][0]


def make_legs(person: Person) -> list[Part]:
    """Thighs, shins and feet in whatever covers them."""
    cut, thick = LOWERS[person.lower], _thickness(person)
    bare_thigh, bare_shin = (8.6 * thick, 8.0 * thick, 6.2 * thick), (5.9 * thick, 5.9 * thick, 4.4, 3.5)
    upper, lower = rings(blend(*bare_thigh)), rings(blend(*bare_shin))
    if person.lower == "shorts":
        wide = 8.6 * thick + 2.6
        upper = rings([*[wide] * 6, wide + 0.3, wide + 0.5, 6.4 * thick])
    elif not cut.skirt and person.lower != "bare legs":
        thigh, knee = 8.6 * thick + cut.thigh, 6.0 * thick + (cut.thigh + cut.ankle) / 2
        calf = max(5.6 * thick + cut.ankle * 0.8, knee * 0.92)
        upper, lower = rings(blend(thigh, thigh * 0.98, knee)), rings(blend(knee, calf, 3.6 * thick + cut.ankle))
    foot = (4.6, 5.0, 4.4, 3.4) if person.shoes == "boots" else (3.8, 4.4, 3.9, 3.0)
    parts = []
    for side in ("left", "right"):
        shoe = rings(blend(*foot))
        parts += [
            Part(
                f"{side} foot", f"{side} foot", f"{side} heel", f"{side} toe", shoe, "shoe", (0, 1), side, 0, 0.8, 0.8
            ),
            Part(f"{side} shin", side, f"{side} knee", f"{side} ankle", lower, "leg", (0.5, 1), side, 1, 0.9, 0.15),
            Part(f"{side} thigh", side, f"{side} hip", f"{side} knee", upper, "leg", (0, 0.5), side, 2, 0.9, 0.9),
        ]
    return parts


def make_trunk(person: Person) -> list[Part]:
    """Hips, torso, coat-tail or skirt, neck, scarf and hood."""
    cut, lower = UPPERS[person.upper], LOWERS[person.lower]

    hips = _strip(person.gender, person.girth, 94, 80, 1.0 if lower.skirt else max(1.0, lower.thigh * 0.7))
    throat = 5.6 if person.gender == "man" else 4.7
    neck = rings(blend(throat, throat, throat * 1.3), 1.0, blend(0.5, -1.0))
    long = cut.hem < 80
    trunk = _strip(person.gender, person.girth, 148.5, max(cut.hem, 86), cut.ease)
    parts = [
        Part("hips", "legs", "hips", "crotch", hips, "leg", (0, 0.08), "trunk", 0),
        Part("neck", "neck", "nape", "neck", neck, "skin", (0, 1), "trunk", 5),
        Part("torso", "upper", "neck", "upper hem", trunk, "upper", (0, 0.52 if long else 1.0), "trunk", 4),
    ]
    if long:
        tail = _strip(person.gender, person.girth, 98, cut.hem, cut.ease, cut.flare)
        parts.append(Part("tail", "upper", "tail top", "tail end", tail, "upper", (0.42, 1), "trunk", 3))
    if lower.skirt:
        skirt = _strip(person.gender, person.girth, 104, lower.hem, 1.2, lower.flare)
        parts.append(Part("skirt", "skirt", "skirt top", "skirt hem", skirt, "skirt", (0, 1), "trunk", 2))
    if person.scarf:
        wrap = blend(throat + 1.8, throat + 3.4, throat + 3.8)
        collar = rings(wrap, 1.05, blend(-1, 1))
        parts.append(Part("scarf", "scarf", "scarf top", "scarf end", collar, "scarf", (0, 1), "trunk", 6, 0.5, 0.6))
    if person.upper == "hoodie":
        hood = rings(blend(6, 9.5, 10), 0.9, blend(-4, -5))
        parts.append(Part("hood", "upper", "scarf top", "scarf end", hood, "hood", (0, 1), "hood", 0, 0.6, 0.9))
    return parts


def make_arms(person: Person) -> list[Part]:
    """Upper arms, forearms and hands in whatever covers them."""
    cut, thick = UPPERS[person.upper], _thickness(person) * (1.0 if person.gender == "man" else 0.86)
    bare = [thick * w for w in (4.3, 5.0, 4.5, 4.2, 4.1, 3.7, 2.9)]
    ease = cut.ease * 0.7
    upper, lower = rings(blend(*bare[:4])), rings(blend(*bare[3:]))
    if person.sleeve == "long":
        upper = rings(blend(bare[0] + ease * 0.6, bare[1] + ease, bare[2] + ease, bare[3] + ease))
        lower = rings(blend(bare[3] + ease, bare[4] + ease, bare[5] + ease, bare[6] + ease * 0.9))
    elif person.sleeve == "short":
        cuff = bare[1] + ease + 0.7
        upper = rings(
            [bare[0] + ease * 0.5, bare[1] + ease * 0.8, cuff, cuff, cuff + 0.3, cuff + 0.4, *blend(*bare[2:4])[3:6]]
        )
    hand = rings(blend(2.7 * thick, 3.7 * thick, 3.4 * thick, 2.0 * thick), 0.8)
    parts = []
    for side in ("left", "right"):
        name = f"{side} arm"
        upper_arm, forearm = f"{side} upper arm", f"{side} forearm"
        shoulder, elbow, wrist = f"{side} shoulder", f"{side} elbow", f"{side} wrist"
        parts += [
            Part(f"{side} hand", f"{side} hand", wrist, f"{side} fingers", hand, "skin", (0.5, 1), name, 0, 0.8, 0.8),
            Part(forearm, name, elbow, wrist, lower, "sleeve", (0.5, 1), name, 1, 0.9, 0.2),
            Part(upper_arm, name, shoulder, elbow, upper, "sleeve", (0, 0.5), name, 2, 0.9, 0.9),
        ]
    return parts
