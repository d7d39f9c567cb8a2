"""What a witness says of a person: true of the person, never of the camera.

A caption is made of items (hair, upper garment, bag, ...), each said in one of several ways; which items, in what order
and in which sentence shape is drawn. The first witness of every person names whatever sets the person apart from its
look-alikes, the others may forget it.
"""

from __future__ import annotations

from collections.abc import Callable

from reid.synthetic.draw import Draw
from reid.synthetic.person import Person, differing, family_of, make_person

SHORTEST, LONGEST = 10, 45

COLOUR_WORDS: dict[str, tuple[str, ...]] = {
    "black": ("black", "black", "jet-black"),
    "white": ("white", "white", "off-white"),
    "grey": ("grey", "gray"),
    "red": ("red", "bright red"),
    "maroon": ("maroon", "dark red", "burgundy"),
    "orange": ("orange",),
    "yellow": ("yellow",),
    "green": ("green",),
    "olive": ("olive", "khaki green", "olive-green"),
    "light blue": ("light blue", "pale blue", "sky-blue"),
    "blue": ("blue", "royal blue"),
    "navy": ("navy", "dark blue", "navy blue"),
    "purple": ("purple", "violet"),
    "pink": ("pink", "rose-coloured"),
    "brown": ("brown", "chestnut"),
    "beige": ("beige", "tan", "sand-coloured"),
}
HAIR_WORDS = {
    "black": ("black", "jet-black"),
    "brown": ("brown", "chestnut"),
    "blond": ("blond", "fair"),
    "grey": ("grey", "gray"),
    "red": ("red", "ginger"),
}
UPPER_WORDS: dict[str, tuple[str, ...]] = {
    "t-shirt": ("t-shirt", "tee"),
    "vest top": ("vest top", "tank top"),
    "shirt": ("shirt", "button-up shirt"),
    "sweater": ("sweater", "pullover", "jumper"),
    "hoodie": ("hoodie", "hooded sweatshirt"),
    "jacket": ("zipped jacket", "zip-up jacket"),
    "open jacket": ("open jacket", "unzipped jacket"),
    "down jacket": ("down jacket", "puffer jacket", "padded jacket"),
    "coat": ("knee-length coat", "mid-length coat"),
    "long coat": ("long coat", "ankle-length coat"),
    "dress": ("dress", "frock"),
}
LOWER_WORDS: dict[str, tuple[str, ...]] = {
    "trousers": ("trousers", "pants", "slacks"),
    "jeans": ("jeans", "denim jeans"),
    "wide trousers": ("wide trousers", "wide-leg pants", "baggy trousers"),
    "tracksuit bottoms": ("tracksuit bottoms", "joggers", "sweatpants"),
    "leggings": ("leggings", "tights"),
    "shorts": ("shorts", "knee-length shorts"),
    "short skirt": ("short skirt", "knee-length skirt"),
    "long skirt": ("long skirt", "ankle-length skirt"),
    "bare legs": ("bare legs", "no stockings"),
}
PATTERN_WORDS: dict[str, tuple[str, ...]] = {
    "horizontal stripes": ("horizontal {} stripes", "{} stripes running across"),
    "vertical stripes": ("vertical {} stripes", "{} pinstripes"),
    "check": ("a {} check", "{} checks"),
    "dots": ("{} polka dots", "{} dots"),
    "block": ("a {} block", "a {} panel"),
    "logo": ("a {} print on the chest", "a {} logo on the chest"),
    "side stripe": ("a {} stripe down the side", "{} side stripes"),
    "faded": ("a faded wash", "worn, faded thighs"),
    "plain": ("no pattern", "a plain fabric"),
}
SHOE_WORDS = {
    "trainers": ("trainers", "sneakers", "running shoes"),
    "leather shoes": ("leather shoes", "dress shoes"),
    "boots": ("boots", "ankle boots"),
    "sandals": ("sandals", "open sandals"),
}
CARRIED_WORDS = {
    "nothing": ("nothing in hand", "no bag"),
    "backpack": ("backpack", "rucksack"),
    "shoulder bag": ("shoulder bag", "cross-body bag"),
    "handbag": ("handbag", "purse"),
    "suitcase": ("suitcase", "trolley case"),
    "umbrella": ("folded umbrella", "closed umbrella"),
    "shopping bag": ("shopping bag", "carrier bag"),
}
HAT_WORDS = {
    "none": ("no hat", "nothing on the head"),
    "cap": ("cap", "baseball cap"),
    "beanie": ("beanie", "knitted hat"),
    "brimmed hat": ("brimmed hat", "wide-brimmed hat"),
}
SUBJECTS = {
    "man": ("man", "man", "male pedestrian", "gentleman", "person"),
    "woman": ("woman", "woman", "female pedestrian", "lady", "person"),
}
# Which item of a caption says which attribute.
ITEM_OF = {
    "hair style": "hair", "hair colour": "hair", "hat": "hat", "scarf": "scarf", "carried": "carried",
    "upper": "upper", "upper colour": "upper", "upper pattern": "upper", "lower": "lower", "lower colour": "lower",
    "lower pattern": "lower", "shoes": "shoes",
}  # fmt: skip


def told_apart_by(seed: int, person: Person, lookalikes: float) -> frozenset[str]:
    """The attributes in which the person differs from any look-alike."""
    _, first, size = family_of(person.number, lookalikes)
    names: set[str] = set()
    for number in range(first, first + size):
        names.update(differing(person, make_person(seed, number, lookalikes)))
    return frozenset(names)


def describe(seed: int, person: Person, witness: int, lookalikes: float) -> str:
    """What this witness says; witness 0 names all that sets the person apart from its look-alikes."""
    draw = Draw("caption", seed, person.number, witness)
    must = told_apart_by(seed, person, lookalikes) if witness == 0 else frozenset[str]()
    if witness == 0 and "upper pattern" in must and person.upper_cloth.pattern != "plain":
        must = must | {"upper colour"}
    needed = {ITEM_OF[name] for name in must}
    chances = {"hair": 0.72, "upper": 0.96, "lower": 0.92, "shoes": 0.6, "hat": 0.75, "scarf": 0.7, "carried": 0.8}
    said = {item for item, chance in chances.items() if draw.chance(chance)} | needed
    if not {"upper", "lower"} & said:
        said.add("upper")
    extras = [item for item in ("beard", "glasses", "build") if draw.chance(0.45)]
    while True:
        text = _sentence(draw, person, said, extras, must)
        count = len(text.split())
        spare = sorted(said - needed - {"upper"})
        if count > LONGEST and (extras or spare):
            if extras:
                extras.pop()
            else:
                said.remove(draw.pick(spare))
        elif count < SHORTEST and len(said) < len(chances):
            said.add(draw.pick(sorted(set(chances) - said)))
        else:
            return text


def _sentence(draw: Draw, person: Person, said: set[str], extras: list[str], must: frozenset[str]) -> str:
    subject = _subject(draw, person, extras)
    worn = [_ITEMS[item](draw, person, must) for item in draw.order([i for i in ("upper", "lower") if i in said])]
    if "shoes" in said:
        worn.append(_ITEMS["shoes"](draw, person, must))
    worn += [text for item in ("hat", "scarf") if item in said and (text := _ITEMS[item](draw, person, must))]
    features = [_hair(draw, person, must)] if "hair" in said else []
    features += [
        word for word, true in (("a beard", person.beard), ("glasses", person.glasses)) if _said(word, extras, true)
    ]
    carried = _ITEMS["carried"](draw, person, must) if "carried" in said else ""
    return draw.pick(_SHAPES)(draw, subject, worn, draw.order(features), carried)


def _said(word: str, extras: list[str], true: bool) -> bool:
    return true and word.removeprefix("a ") in extras


def _subject(draw: Draw, person: Person, extras: list[str]) -> str:
    words = []
    if "build" in extras:
        if person.height >= 183:
            words.append("tall")
        elif person.height <= 160:
            words.append("short")
        shape = {"slim": "slim", "heavy": "heavily built", "broad": "broad-shouldered"}.get(person.girth)
        if shape and draw.chance(0.6):
            words.append(shape)
    return " ".join([*words, draw.pick(SUBJECTS[person.gender])])


def _article(phrase: str) -> str:
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def _hair(draw: Draw, person: Person, must: frozenset[str]) -> str:
    if person.hair == "bald":
        return draw.pick(("a bald head", "a shaved head"))
    colour = draw.pick(HAIR_WORDS[person.hair_colour]) + " "
    if "hair colour" not in must and draw.chance(0.15):
        colour = ""
    return {
        "cropped": ("close-cropped {}hair", "very short {}hair"),
        "short": ("short {}hair", "a short {}haircut"),
        "curly": ("curly {}hair", "{}curls"),
        "shoulder-length": ("shoulder-length {}hair", "{}hair down to the shoulders"),
        "long": ("long {}hair", "long loose {}hair"),
        "ponytail": ("{}hair in a ponytail", "a {}ponytail"),
        "bun": ("{}hair in a bun", "{}hair tied up in a bun"),
    }[person.hair][draw.below(2)].format(colour)


def _upper(draw: Draw, person: Person, must: frozenset[str]) -> str:
    cloth = person.upper_cloth
    noun = draw.pick(UPPER_WORDS[person.upper])
    if person.upper in ("shirt", "dress") and draw.chance(0.4):
        noun = {"short": "short-sleeved", "long": "long-sleeved", "none": "sleeveless"}[person.sleeve] + " " + noun
    if "upper colour" in must or draw.chance(0.93):
        noun = f"{draw.pick(COLOUR_WORDS[cloth.colour])} {noun}"
    text = _article(noun)
    forced = "upper pattern" in must
    if forced or (cloth.pattern != "plain" and draw.chance(0.75)):
        text += " with " + _pattern(draw, cloth.pattern, cloth.second)
    if person.upper == "open jacket" and draw.chance(0.6):
        text += f" over {_article(draw.pick(COLOUR_WORDS[person.inner]))} top"
    return text


def _pattern(draw: Draw, pattern: str, second: str | None) -> str:
    colour = "" if second is None else draw.pick(COLOUR_WORDS[second])
    text = draw.pick(PATTERN_WORDS[pattern]).format(colour)
    # The article was written for any colour.
    return text.replace("a o", "an o", 1) if text.startswith("a o") else text


def _lower(draw: Draw, person: Person, must: frozenset[str]) -> str:
    noun, cloth = draw.pick(LOWER_WORDS[person.lower]), person.lower_cloth
    if person.lower == "bare legs":
        return noun
    if "lower colour" in must or draw.chance(0.93):
        noun = f"{draw.pick(COLOUR_WORDS[cloth.colour])} {noun}"
    text = _article(noun) if "skirt" in noun else noun
    if cloth.pattern not in ("plain", "faded") and ("lower pattern" in must or draw.chance(0.7)):
        text += " with " + _pattern(draw, cloth.pattern, cloth.second)
    return text


def _shoes(draw: Draw, person: Person, must: frozenset[str]) -> str:
    return f"{draw.pick(COLOUR_WORDS[person.shoe_colour])} {draw.pick(SHOE_WORDS[person.shoes])}"


def _hat(draw: Draw, person: Person, must: frozenset[str]) -> str:
    if person.hat == "none":
        return draw.pick(HAT_WORDS["none"]) if "hat" in must else ""
    return _article(f"{draw.pick(COLOUR_WORDS[person.hat_colour])} {draw.pick(HAT_WORDS[person.hat])}")


def _scarf(draw: Draw, person: Person, must: frozenset[str]) -> str:
    if person.scarf is None:
        return "no scarf" if "scarf" in must else ""
    return _article(f"{draw.pick(COLOUR_WORDS[person.scarf])} scarf")


def _carried(draw: Draw, person: Person, must: frozenset[str]) -> str:
    if person.carried == "nothing":
        return draw.pick(CARRIED_WORDS["nothing"]) if "carried" in must or draw.chance(0.2) else ""
    return _article(f"{draw.pick(COLOUR_WORDS[person.carried_colour])} {draw.pick(CARRIED_WORDS[person.carried])}")


_ITEMS: dict[str, Callable[[Draw, Person, frozenset[str]], str]] = {
    "hair": _hair, "upper": _upper, "lower": _lower, "shoes": _shoes, "hat": _hat, "scarf": _scarf,
    "carried": _carried,
}  # fmt: skip


def _join(items: list[str]) -> str:
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def _cap(text: str) -> str:
    return text[0].upper() + text[1:]


def _plain_shape(draw: Draw, subject: str, worn: list[str], features: list[str], carried: str) -> str:
    text = _cap(_article(subject)) + (f" with {_join(features)}" if features else "")
    text += f" {draw.pick(('wears', 'is wearing', 'has on'))} {_join(worn)}"
    return text + (f", and {draw.pick(('carries', 'is carrying', 'has'))} {carried}." if carried else ".")


def _dressed_shape(draw: Draw, subject: str, worn: list[str], features: list[str], carried: str) -> str:
    text = f"{draw.pick(('Dressed in', 'Wearing', 'Clad in'))} {_join(worn)}, the {subject} "
    if features:
        return text + f"has {_join(features)}" + (f" and carries {carried}." if carried else ".")
    return text + (f"carries {carried}." if carried else "walks by.")


def _two_sentences(draw: Draw, subject: str, worn: list[str], features: list[str], carried: str) -> str:
    text = f"{_cap(_article(subject))} in {_join(worn)}."
    tail = [f"has {_join(features)}"] if features else []
    tail += [f"carries {carried}"] if carried else []
    return text + (f" {draw.pick(('The person', 'This person'))} {' and '.join(tail)}." if tail else "")


def _bag_first(draw: Draw, subject: str, worn: list[str], features: list[str], carried: str) -> str:
    if not carried:
        return _plain_shape(draw, subject, worn, features, carried)
    text = f"{draw.pick(('Carrying', 'With'))} {carried}, {_article(subject)}"
    text += f" with {_join(features)}" if features else ""
    return f"{text} walks past in {_join(worn)}."


def _clothes_first(draw: Draw, subject: str, worn: list[str], features: list[str], carried: str) -> str:
    verb = "are worn" if len(worn) > 1 else "is worn"
    text = f"{_cap(_join(worn))} {verb} by {_article(subject)}"
    text += f" with {_join(features)}" if features else ""
    return text + (f", who carries {carried}." if carried else ".")


def _looking_for(draw: Draw, subject: str, worn: list[str], features: list[str], carried: str) -> str:
    text = f"{draw.pick(('Look for', 'We are looking for', 'I saw'))} {_article(subject)} in {_join(worn)}"
    extra = features + ([carried] if carried else [])
    return text + (f", with {_join(extra)}." if extra else ".")


_SHAPES = (_plain_shape, _dressed_shape, _two_sentences, _bag_first, _clothes_first, _looking_for)
