"""Who a person is: attributes that never change, and families of look-alikes made on purpose.

People are numbered from 0 and numbered the same however many there are. They come in blocks of 20; in each block the
first `lookalikes` share is cut into families of 2, 3 and 4, the rest are families of one. The first of a family is the
template, each other one differs from it in one or two attributes (`CHANGES`). Height, girth, skin and shoes are common
to a family and, all four together, to no other family: so no two people are equal, whatever else chance gives them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

from reid.synthetic import wardrobe
from reid.synthetic.draw import Draw
from reid.synthetic.wardrobe import CLOTH_WEIGHTS, LOWER_WEIGHTS, LOWERS, NEAR, SHOES, SKIN, UPPERS

BLOCK = 20
FAMILY_SIZES = (2, 3, 2, 4, 3, 2, 4)
HEIGHTS = range(150, 197)
GIRTHS = ("slim", "average", "broad", "heavy")
_ANCHORS = len(HEIGHTS) * len(GIRTHS) * len(SKIN) * len(SHOES)
MAX_PEOPLE = _ANCHORS  # a family has at least one person


@dataclass(frozen=True)
class Cloth:
    """What a garment is made of: visible colours and pattern, and the fabric and dyes that infrared sees."""

    colour: str
    pattern: str
    second: str | None
    fabric: str
    dye: str
    second_dye: str


@dataclass(frozen=True)
class Person:
    """Everything about a person that stays the same in all observations.

    Attributes:
        number, family: from 0; look-alikes share the family.
        gender: "man" or "woman": which clothes and proportions were drawn from.
        height: in cm. girth: one of `GIRTHS`. skin: index into `wardrobe.SKIN`.
        hair, hair_colour: style and colour. beard, glasses: worn or not.
        hat, hat_colour; scarf (its colour or None); carried, carried_colour.
        upper, sleeve, upper_cloth; inner: colour of what an open jacket shows.
        lower, lower_cloth: "bare legs" under a dress.
        shoes, shoe_colour.
        grain: a number that the folds and fine colours of the clothes come from.
    """

    number: int
    family: int
    gender: str
    height: int
    girth: str
    skin: int
    hair: str
    hair_colour: str
    beard: bool
    glasses: bool
    hat: str
    hat_colour: str
    scarf: str | None
    carried: str
    carried_colour: str
    upper: str
    sleeve: str
    upper_cloth: Cloth
    inner: str
    lower: str
    lower_cloth: Cloth
    shoes: str
    shoe_colour: str
    grain: int


# What a witness can name, one entry per attribute; the distance of two people is the number of entries that differ.
ATTRIBUTES: dict[str, Callable[[Person], tuple[object, ...]]] = {
    "gender": lambda p: (p.gender,),
    "height": lambda p: (p.height,),
    "girth": lambda p: (p.girth,),
    "skin": lambda p: (p.skin,),
    "hair style": lambda p: (p.hair,),
    "hair colour": lambda p: () if p.hair == "bald" else (p.hair_colour,),
    "beard": lambda p: (p.beard,),
    "glasses": lambda p: (p.glasses,),
    "hat": lambda p: (p.hat, p.hat_colour) if p.hat != "none" else (),
    "scarf": lambda p: (p.scarf,),
    "carried": lambda p: (p.carried, p.carried_colour) if p.carried != "nothing" else (),
    "upper": lambda p: (p.upper, p.sleeve),
    "upper colour": lambda p: (p.upper_cloth.colour,),
    "upper pattern": lambda p: (p.upper_cloth.pattern, p.upper_cloth.second),
    "inner": lambda p: (p.inner,) if p.upper == "open jacket" else (),
    "lower": lambda p: (p.lower,),
    "lower colour": lambda p: () if p.lower == "bare legs" else (p.lower_cloth.colour,),
    "lower pattern": lambda p: (p.lower_cloth.pattern, p.lower_cloth.second),
    "shoes": lambda p: (p.shoes, p.shoe_colour),
}
# In what look-alikes differ: what a camera can see from most sides.
CHANGES = (
    "hair style", "hair colour", "hat", "scarf", "carried", "upper colour", "upper pattern", "lower colour",
)  # fmt: skip


def differing(a: Person, b: Person) -> tuple[str, ...]:
    """The names of the attributes in which two people differ."""
    return tuple(name for name, read in ATTRIBUTES.items() if read(a) != read(b))


def told(person: Person) -> dict[str, str]:
    """The attributes in words, "" for what the person does not have."""

    def cloth(name: str, garment: str, made_of: Cloth) -> dict[str, str]:
        pattern = made_of.pattern + (f" in {made_of.second}" if made_of.second else "")
        dyes = made_of.dye if made_of.second is None else f"{made_of.dye} and {made_of.second_dye}"
        return {
            name: f"{made_of.colour} {garment}",
            f"{name} pattern": pattern,
            f"{name} dyed": f"{made_of.fabric}, {dyes}",
        }

    bare = person.lower == "bare legs"
    return {
        "family": str(person.family),
        "gender": person.gender,
        "height": f"{person.height} cm",
        "girth": person.girth,
        "skin": f"{person.skin + 1} of {len(SKIN)}",
        "hair": person.hair if person.hair == "bald" else f"{person.hair_colour} {person.hair}",
        "beard": "yes" if person.beard else "",
        "glasses": "yes" if person.glasses else "",
        "hat": f"{person.hat_colour} {person.hat}" if person.hat != "none" else "",
        "scarf": person.scarf or "",
        **cloth("upper", person.upper, person.upper_cloth),
        "sleeve": person.sleeve,
        "inner": person.inner if person.upper == "open jacket" else "",
        **({"lower": person.lower} if bare else cloth("lower", person.lower, person.lower_cloth)),
        "shoes": f"{person.shoe_colour} {person.shoes}",
        "carried": f"{person.carried_colour} {person.carried}" if person.carried != "nothing" else "",
    }


def family_of(number: int, lookalikes: float) -> tuple[int, int, int]:
    """Family of a person, the number of its first member, and its full size.

    Args:
        number: of the person.
        lookalikes: share of people who have a look-alike, in [0, 1], rounded to twentieths.
    """
    sizes = _block_families(round(lookalikes * BLOCK))
    block, offset = divmod(number, BLOCK)
    first = 0
    for index, size in enumerate(sizes):
        if offset < first + size:
            return block * len(sizes) + index, block * BLOCK + first, size
        first += size
    raise AssertionError("a block's families add up to the block")


@lru_cache(maxsize=32)
def _block_families(alike: int) -> tuple[int, ...]:
    sizes: list[int] = []
    left = alike if alike >= 2 else 0
    while left:
        size = min(FAMILY_SIZES[len(sizes) % len(FAMILY_SIZES)], left)
        # Never leave a single one over, who would have nobody to be mistaken for.
        size = size + 1 if left - size == 1 else size
        sizes.append(size)
        left -= size
    return (*sizes, *[1] * (BLOCK - sum(sizes)))


@lru_cache(maxsize=4096)
def make_person(seed: int, number: int, lookalikes: float) -> Person:
    """The person of this number in the world of this seed."""
    family, first, _ = family_of(number, lookalikes)
    template = _template(seed, family, first)
    return template if number == first else _look_alike(seed, template, number, first)


def _template(seed: int, family: int, first: int) -> Person:
    draw = Draw("person", seed, family)
    height, girth, skin, shoes, shoe_colour = _anchor(seed, family)
    gender = draw.pick(("man", "woman"))
    hair = draw.weighted(wardrobe.HAIR_STYLES[gender])
    upper = draw.weighted(wardrobe.UPPER_WEIGHTS[gender])
    cut = UPPERS[upper]
    colour = draw.weighted(CLOTH_WEIGHTS)
    lower = draw.weighted((("bare legs", 3), ("leggings", 2))) if upper == "dress" else None
    # What a coat would hide is not worn under it.
    shown = [(kind, w) for kind, w in wardrobe.LOWER_KINDS[gender] if cut.hem > 80 or LOWERS[kind].hem < cut.hem - 10]
    lower = lower or draw.weighted(shown)
    # Nor is a hat worn on a bun or on curls.
    hat = "none" if hair in ("bun", "curly") else draw.weighted(wardrobe.HATS)
    summer = upper in ("t-shirt", "vest top", "dress")
    return Person(
        number=first,
        family=family,
        gender=gender,
        height=height,
        girth=girth,
        skin=skin,
        hair=hair,
        hair_colour=draw.weighted((("black", 40), ("brown", 34), ("blond", 14), ("grey", 7), ("red", 5))),
        beard=gender == "man" and draw.chance(0.3),
        glasses=draw.chance(0.18),
        hat=hat,
        hat_colour=draw.weighted(CLOTH_WEIGHTS),
        scarf=draw.weighted(CLOTH_WEIGHTS) if not summer and draw.chance(0.2) else None,
        carried=draw.weighted(wardrobe.CARRIED),
        carried_colour=draw.weighted(CLOTH_WEIGHTS),
        upper=upper,
        sleeve=draw.pick(cut.sleeves),
        upper_cloth=_cloth(draw, colour, draw.pick(cut.patterns), draw.pick(cut.fabrics)),
        inner=_other_colour(draw, colour),
        lower=lower,
        lower_cloth=_cloth(
            draw,
            "blue" if lower == "jeans" and draw.chance(0.4) else draw.weighted(LOWER_WEIGHTS),
            draw.pick(LOWERS[lower].patterns),
            draw.pick(LOWERS[lower].fabrics),
        ),
        shoes=shoes,
        shoe_colour=shoe_colour,
        grain=draw.below(1 << 20),
    )


def _anchor(seed: int, family: int) -> tuple[int, str, int, str, str]:
    """Height, girth, skin, shoes and their colour: a bijection of the family number, different for every seed."""
    # 5003 is prime and divides no factor of _ANCHORS, so f -> 5003 f + shift permutes the residues.
    code = (family * 5003 + Draw("anchor", seed).below(_ANCHORS)) % _ANCHORS
    code, height = divmod(code, len(HEIGHTS))
    code, girth = divmod(code, len(GIRTHS))
    code, skin = divmod(code, len(SKIN))
    return HEIGHTS[height], GIRTHS[girth], skin, *SHOES[code]


def _cloth(draw: Draw, colour: str, pattern: str, fabric: str) -> Cloth:
    second = None if pattern in ("plain", "faded") else _other_colour(draw, colour)
    dye = draw.pick(tuple(wardrobe.DYES))
    # Half of the patterns are printed with the same chemistry and vanish in infrared.
    second_dye = dye if draw.chance(0.5) else draw.pick(tuple(wardrobe.DYES))
    return Cloth(colour, pattern, second, fabric, dye, second_dye)


def _other_colour(draw: Draw, colour: str) -> str:
    return draw.weighted([(c, w) for c, w in CLOTH_WEIGHTS if c != colour and frozenset((c, colour)) not in NEAR])


def _look_alike(seed: int, template: Person, number: int, first: int) -> Person:
    """`template` with one or two attributes changed; no two members of a family change the same one first."""
    order = Draw("changes", seed, template.family).order([c for c in CHANGES if _can_change(template, c)])
    draw = Draw("look-alike", seed, number)
    nth = number - first - 1
    person = _change(draw, replace(template, number=number), order[nth])
    spare = order[max(FAMILY_SIZES) :]  # never another member's first change
    if spare and draw.chance(0.5):
        person = _change(draw, person, draw.pick(spare))
    return person


def _can_change(person: Person, what: str) -> bool:
    if what == "scarf":
        return person.upper not in ("t-shirt", "vest top", "dress")
    if what == "hair colour":
        return person.hair not in ("bald", "cropped") and person.hat in ("none", "cap")
    if what == "hat":
        return person.hair not in ("bun", "curly")
    if what == "hair style":
        return person.hat == "none" and person.hair != "bald"
    if what == "upper pattern":
        return len(set(UPPERS[person.upper].patterns)) > 1
    return not (what == "lower colour" and person.lower == "bare legs")


def _change(draw: Draw, person: Person, what: str) -> Person:
    """`person` with the attribute `what` of `CHANGES` made different."""
    upper, lower = person.upper_cloth, person.lower_cloth
    if what == "hair style":
        short = ("cropped", "short")  # too near to each other to be the only difference
        avoid_hair = {person.hair, "bald", *(short if person.hair in short else ())}
        styles = [(s, w) for s, w in wardrobe.HAIR_STYLES[person.gender] if s not in avoid_hair]
        return replace(person, hair=draw.weighted(styles))
    if what == "hair colour":
        return replace(person, hair_colour=draw.pick([c for c in wardrobe.HAIR_COLOURS if c != person.hair_colour]))
    if what == "hat":
        return replace(person, hat=draw.pick([h for h, _ in wardrobe.HATS if h != person.hat]))
    if what == "scarf":
        return replace(person, scarf=None if person.scarf else _other_colour(draw, upper.colour))
    if what == "carried":
        return replace(person, carried=draw.pick([c for c, _ in wardrobe.CARRIED if c != person.carried]))
    if what == "upper colour":
        avoid = {upper.colour, upper.second, person.inner}
        choices = [(c, w) for c, w in CLOTH_WEIGHTS if not any(c == a or frozenset((c, a)) in NEAR for a in avoid if a)]
        return replace(person, upper_cloth=replace(upper, colour=draw.weighted(choices)))
    if what == "lower colour":
        avoid = {lower.colour, lower.second}
        choices = [(c, w) for c, w in LOWER_WEIGHTS if not any(c == a or frozenset((c, a)) in NEAR for a in avoid if a)]
        return replace(person, lower_cloth=replace(lower, colour=draw.weighted(choices)))
    pattern = draw.pick(sorted(set(UPPERS[person.upper].patterns) - {upper.pattern}))
    second = None if pattern == "plain" else upper.second or _other_colour(draw, upper.colour)
    return replace(person, upper_cloth=replace(upper, pattern=pattern, second=second))
