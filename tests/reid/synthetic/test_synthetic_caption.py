"""Captions are read back by a checker that knows nothing of how they are made."""

from __future__ import annotations

import re

import pytest

from reid.synthetic.caption import LONGEST, SHORTEST, describe
from reid.synthetic.person import Person, differing, family_of, make_person

COLOURS = {
    "black": "black", "jet-black": "black", "white": "white", "off-white": "white", "grey": "grey", "gray": "grey",
    "red": "red", "bright red": "red", "maroon": "maroon", "dark red": "maroon", "burgundy": "maroon",
    "orange": "orange", "yellow": "yellow", "green": "green", "olive": "olive", "khaki green": "olive",
    "olive-green": "olive", "light blue": "light blue", "pale blue": "light blue", "sky-blue": "light blue",
    "blue": "blue", "royal blue": "blue", "navy": "navy", "dark blue": "navy", "navy blue": "navy",
    "purple": "purple", "violet": "purple", "pink": "pink", "rose-coloured": "pink", "brown": "brown",
    "chestnut": "brown", "beige": "beige", "tan": "beige", "sand-coloured": "beige",
    "blond": "blond", "fair": "blond", "ginger": "red",
}  # fmt: skip
UPPERS = {
    "t-shirt": "t-shirt", "tee": "t-shirt", "vest top": "vest top", "tank top": "vest top", "shirt": "shirt",
    "button-up shirt": "shirt", "sweater": "sweater", "pullover": "sweater", "jumper": "sweater", "hoodie": "hoodie",
    "hooded sweatshirt": "hoodie", "zipped jacket": "jacket", "zip-up jacket": "jacket", "open jacket": "open jacket",
    "unzipped jacket": "open jacket", "down jacket": "down jacket", "puffer jacket": "down jacket",
    "padded jacket": "down jacket", "knee-length coat": "coat", "mid-length coat": "coat", "long coat": "long coat",
    "ankle-length coat": "long coat", "dress": "dress", "frock": "dress",
}  # fmt: skip
LOWERS = {
    "trousers": "trousers", "pants": "trousers", "slacks": "trousers", "jeans": "jeans", "denim jeans": "jeans",
    "wide trousers": "wide trousers", "wide-leg pants": "wide trousers", "baggy trousers": "wide trousers",
    "tracksuit bottoms": "tracksuit bottoms", "joggers": "tracksuit bottoms", "sweatpants": "tracksuit bottoms",
    "leggings": "leggings", "tights": "leggings", "shorts": "shorts", "knee-length shorts": "shorts",
    "short skirt": "short skirt", "knee-length skirt": "short skirt", "long skirt": "long skirt",
    "ankle-length skirt": "long skirt", "bare legs": "bare legs", "no stockings": "bare legs",
}  # fmt: skip
SHOES = {
    "trainers": "trainers", "sneakers": "trainers", "running shoes": "trainers", "leather shoes": "leather shoes",
    "dress shoes": "leather shoes", "boots": "boots", "ankle boots": "boots", "sandals": "sandals",
    "open sandals": "sandals",
}  # fmt: skip
HATS = {
    "cap": "cap", "baseball cap": "cap", "beanie": "beanie", "knitted hat": "beanie", "brimmed hat": "brimmed hat",
    "wide-brimmed hat": "brimmed hat",
}  # fmt: skip
BAGS = {
    "backpack": "backpack", "rucksack": "backpack", "shoulder bag": "shoulder bag", "cross-body bag": "shoulder bag",
    "handbag": "handbag", "purse": "handbag", "suitcase": "suitcase", "trolley case": "suitcase",
    "folded umbrella": "umbrella", "closed umbrella": "umbrella", "shopping bag": "shopping bag",
    "carrier bag": "shopping bag",
}  # fmt: skip


def any_of(words: dict[str, str]) -> str:
    return "(?:" + "|".join(sorted(map(re.escape, words), key=len, reverse=True)) + ")"


C = any_of(COLOURS)
PATTERNS = {
    "horizontal stripes": rf"horizontal ({C}) stripes|({C}) stripes running across",
    "vertical stripes": rf"vertical ({C}) stripes|({C}) pinstripes",
    "check": rf"an? ({C}) check|({C}) checks",
    "dots": rf"({C}) polka dots|({C}) dots",
    "block": rf"an? ({C}) (?:block|panel)",
    "logo": rf"an? ({C}) (?:print|logo) on the chest",
    "side stripe": rf"an? ({C}) stripe down the side|({C}) side stripes",
    "faded": r"a faded wash|worn, faded thighs",
    "plain": r"no pattern|a plain fabric",
}
HAIR = {
    "cropped": rf"close-cropped (?:({C}) )?hair|very short (?:({C}) )?hair",
    "shoulder-length": rf"shoulder-length (?:({C}) )?hair|(?:({C}) )?hair down to the shoulders",
    "long": rf"long (?:loose )?(?:({C}) )?hair",
    "ponytail": rf"(?:({C}) )?hair in a ponytail|(?:({C}) )?ponytail",
    "bun": rf"(?:({C}) )?hair (?:tied up )?in a bun",
    "curly": rf"curly (?:({C}) )?hair|(?:({C}) )?curls",
    "short": rf"short (?:({C}) )?hair(?:cut)?",
    "bald": r"a bald head|a shaved head",
}
SUBJECTS = {
    "man": "man", "male pedestrian": "man", "gentleman": "man", "woman": "woman", "female pedestrian": "woman",
    "lady": "woman", "person": "",
}  # fmt: skip
# All that may be left when everything about the person has been read and taken out.
FILLER = {
    "a", "an", "the", "and", "with", "in", "is", "are", "has", "on", "to", "we", "for", "i", "of", "who", "this", "by",
    "wears", "wearing", "carries", "carrying", "dressed", "clad", "walks", "past", "look", "looking", "saw", "worn",
}  # fmt: skip


class Reader:
    """Takes statements out of a caption, one after the other."""

    def __init__(self, text: str) -> None:
        self.left = text.lower()
        self.said: dict[str, str] = {}

    def take(self, pattern: str) -> re.Match[str] | None:
        match = re.search(rf"(?<![\w-])(?:{pattern})(?![\w-])", self.left)
        if match:
            self.left = self.left[: match.start()] + " | " + self.left[match.end() :]
        return match

    def colour(self, name: str, match: re.Match[str], groups: slice = slice(None)) -> None:
        found = [g for g in match.groups()[groups] if g]
        if found:
            self.said[name] = COLOURS[found[0]]

    def noun(self, name: str, words: dict[str, str], extra: str = "") -> re.Match[str] | None:
        match = self.take(rf"(?:an? )?(?:({C}) )?{extra}({any_of(words)})")
        if match:
            self.said[name] = words[match.groups()[-1]]
            self.colour(f"{name} colour", match, slice(0, 1))
        return match

    def garment(self, name: str, words: dict[str, str]) -> None:
        sleeves = r"(?:(?:short-sleeved|long-sleeved|sleeveless) )?"
        whole = re.search(rf"{sleeves}{any_of(words)}(?![\w-])", self.left)
        if whole and (sleeve := re.match(r"(short|long)-sleeved|sleeveless", whole[0])):
            self.said["sleeve"] = sleeve[1] or "none"
        for pattern, form in PATTERNS.items():
            match = self.take(rf"(?:an? )?(?:({C}) )?{sleeves}({any_of(words)}) with (?:{form})")
            if match:
                self.said[name], self.said[f"{name} pattern"] = words[match[2]], pattern
                self.colour(f"{name} colour", match, slice(0, 1))
                self.colour(f"{name} second", match, slice(2, None))
                return
        self.noun(name, words, sleeves)


def read(text: str) -> dict[str, str]:
    """What a caption says, attribute -> value; fails on a word that it cannot place."""
    reader = Reader(text)
    for phrase, name in (
        ("no hat|nothing on the head", "hat"),
        ("no scarf", "scarf"),
        ("no bag|nothing in hand", "bag"),
    ):
        if reader.take(phrase):
            reader.said[name] = "none"
    if match := reader.take(rf"over an? ({C}) top"):
        reader.said["inner"] = COLOURS[match[1]]
    for style, form in HAIR.items():
        if match := reader.take(rf"(?:an? )?(?:{form})"):
            reader.said["hair"] = style
            reader.colour("hair colour", match)
            break
    reader.noun("shoes", SHOES)
    reader.noun("hat", HATS)
    reader.noun("bag", BAGS)
    reader.noun("scarf", {"scarf": "worn"})
    reader.garment("upper", UPPERS)
    reader.garment("lower", LOWERS)
    for word, name in (("a beard", "beard"), ("glasses", "glasses")):
        if reader.take(word):
            reader.said[name] = "yes"
    build = r"(?:(tall|short) )?(?:(slim|heavily built|broad-shouldered) )?"
    match = reader.take(rf"{build}({any_of(SUBJECTS)})")
    assert match, text
    reader.said |= {
        k: v for k, v in zip(("height", "girth", "gender"), (match[1], match[2], SUBJECTS[match[3]]), strict=True) if v
    }
    reader.take("(?:the|this) person")
    left = set(re.findall(r"[\w-]+", reader.left))
    assert left <= FILLER, f"{left - FILLER} in: {text}"
    return reader.said


def check(person: Person, said: dict[str, str]) -> None:
    """Everything said is true."""
    upper, lower = person.upper_cloth, person.lower_cloth
    truth = {
        "gender": person.gender, "hair": person.hair, "hair colour": person.hair_colour, "hat": person.hat,
        "hat colour": person.hat_colour, "scarf": "worn" if person.scarf else "none", "scarf colour": person.scarf,
        "bag": "none" if person.carried == "nothing" else person.carried, "bag colour": person.carried_colour,
        "upper": person.upper, "upper colour": upper.colour, "upper pattern": upper.pattern,
        "upper second": upper.second, "sleeve": person.sleeve, "inner": person.inner, "lower": person.lower,
        "lower colour": lower.colour, "lower pattern": lower.pattern, "lower second": lower.second,
        "shoes": person.shoes, "shoes colour": person.shoe_colour, "beard": "yes" if person.beard else "no",
        "glasses": "yes" if person.glasses else "no",
    }  # fmt: skip
    for name, value in said.items():
        if name == "height":
            assert person.height >= 183 if value == "tall" else person.height <= 160
        elif name == "girth":
            assert {"slim": "slim", "heavily built": "heavy", "broad-shouldered": "broad"}[value] == person.girth
        else:
            assert truth[name] == value, (name, value, truth[name])


READS = {
    "hair style": ("hair",), "hair colour": ("hair colour",), "hat": ("hat",), "scarf": ("scarf",), "carried": ("bag",),
    "upper colour": ("upper colour",), "upper pattern": ("upper pattern",), "lower colour": ("lower colour",),
}  # fmt: skip


@pytest.mark.parametrize("seed", [0, 1])
def test_everything_said_is_true(seed: int) -> None:
    told = set()
    for number in range(300):
        person = make_person(seed, number, 0.5)
        for witness in range(2):
            said = read(describe(seed, person, witness, 0.5))
            check(person, said)
            told |= set(said)
    # A reader that understood nothing would find everything true.
    assert {"upper colour", "lower colour", "shoes colour", "hair colour"} <= told


def test_the_reader_finds_lies() -> None:
    person = make_person(0, 0, 0.5)
    text = describe(0, person, 0, 0.5)
    colour = next(c for c in ("pink", "orange") if c not in (person.upper_cloth.colour, person.lower_cloth.colour))
    lie = re.sub(C, colour, text.lower(), count=1)
    assert lie != text.lower()
    with pytest.raises(AssertionError):
        check(person, read(lie))
    with pytest.raises(AssertionError, match="left"):
        read(text + " On the left.")


def test_the_first_witness_names_what_sets_look_alikes_apart() -> None:
    named = 0
    for number in range(250):
        person = make_person(0, number, 0.5)
        _, first, size = family_of(number, 0.5)
        said = read(describe(0, person, 0, 0.5))
        for other in range(first, first + size):
            for attribute in differing(person, make_person(0, other, 0.5)):
                assert all(key in said for key in READS[attribute]), (number, attribute, said)
                named += 1
    assert named > 200


def test_other_witnesses_forget_and_tell_in_their_own_words() -> None:
    told = [describe(0, make_person(0, n, 0.5), w, 0.5) for n in range(150) for w in range(2)]
    assert len(set(told)) == len(told)
    counts = [len(text.split()) for text in told]
    assert min(counts) >= SHORTEST
    assert max(counts) <= LONGEST
    assert len({text.split()[0] for text in told}) > 10
    said = [read(text) for text in told]
    for item in ("upper", "lower", "shoes", "hair"):
        share = sum(item in s for s in said) / len(said)
        assert 0.5 < share < 1.0 or item == "upper"


def test_a_caption_depends_on_nothing_but_its_key() -> None:
    person = make_person(4, 11, 0.5)
    first = describe(4, person, 1, 0.5)
    describe(4, make_person(4, 12, 0.5), 0, 0.5)
    assert describe(4, person, 1, 0.5) == first
