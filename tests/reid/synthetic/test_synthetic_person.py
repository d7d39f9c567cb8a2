"""People and their look-alikes."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest

from reid.synthetic import wardrobe
from reid.synthetic.person import (
    _ANCHORS,
    ATTRIBUTES,
    BLOCK,
    Person,
    _anchor,
    differing,
    family_of,
    make_person,
    told,
)

PEOPLE = 1000


def crowd(seed: int = 0, lookalikes: float = 0.5, people: int = PEOPLE) -> list[Person]:
    return [make_person(seed, number, lookalikes) for number in range(people)]


def words(person: Person) -> tuple[object, ...]:
    return tuple(read(person) for read in ATTRIBUTES.values())


@pytest.mark.parametrize("seed", [0, 7])
def test_no_two_people_are_equal(seed: int) -> None:
    assert len({words(p) for p in crowd(seed)}) == PEOPLE


def test_no_two_families_share_their_anchor() -> None:
    anchors = {_anchor(5, family) for family in range(_ANCHORS)}
    assert len(anchors) == _ANCHORS


def test_look_alikes_differ_from_their_template_in_one_or_two_attributes() -> None:
    people = crowd()
    distances = Counter()
    for person in people:
        _, first, _ = family_of(person.number, 0.5)
        if first != person.number:
            distances[len(differing(people[first], person))] += 1
    assert set(distances) == {1, 2}
    assert min(distances.values()) > 50


@pytest.mark.parametrize(("lookalikes", "share"), [(0.0, 0.0), (0.25, 0.25), (0.5, 0.5), (1.0, 1.0)])
def test_the_stated_share_of_people_has_a_look_alike(lookalikes: float, share: float) -> None:
    people = crowd(lookalikes=lookalikes, people=400)
    families: dict[int, list[Person]] = {}
    for person in people:
        families.setdefault(person.family, []).append(person)
    near = set()
    for members in families.values():
        for a, b in combinations(members, 2):
            if len(differing(a, b)) <= 2:
                near |= {a.number, b.number}
    assert len(near) / len(people) == pytest.approx(share, abs=0.01)
    assert max(map(len, families.values())) <= 5
    for person in people:
        family, first, size = family_of(person.number, lookalikes)
        assert family == person.family
        assert first <= person.number < first + size


def test_strangers_are_not_look_alikes() -> None:
    people = crowd(people=200)
    distances = [len(differing(a, b)) for a, b in combinations(people, 2) if a.family != b.family]
    assert min(distances) > 2
    assert sum(distances) / len(distances) > 9


def test_seeds_give_different_people() -> None:
    assert not {words(p) for p in crowd(1, people=100)} & {words(p) for p in crowd(2, people=100)}


def test_every_kind_of_everything_occurs_and_none_dominates() -> None:
    people = crowd()
    assert {p.upper for p in people} == set(wardrobe.UPPERS)
    assert {p.lower for p in people} == set(wardrobe.LOWERS)
    assert {p.carried for p in people} == {kind for kind, _ in wardrobe.CARRIED}
    assert {p.hat for p in people} == {kind for kind, _ in wardrobe.HATS}
    assert {p.upper_cloth.colour for p in people} == set(wardrobe.COLOURS)
    assert {p.shoes for p in people} == {kind for kind, _ in wardrobe.SHOES}
    patterns = Counter(p.upper_cloth.pattern for p in people)
    assert len(patterns) == 7
    assert patterns["plain"] < 0.7 * PEOPLE


def test_patterns_have_a_second_colour_that_can_be_told_from_the_first() -> None:
    for person in crowd():
        for cloth in (person.upper_cloth, person.lower_cloth):
            if cloth.second is None:
                assert cloth.pattern in ("plain", "faded")
            else:
                assert cloth.second != cloth.colour
                assert frozenset((cloth.second, cloth.colour)) not in wardrobe.NEAR


def test_people_do_not_depend_on_how_many_there_are() -> None:
    assert BLOCK % 20 == 0
    make_person.cache_clear()
    alone = make_person(3, 777, 0.5)
    make_person.cache_clear()
    assert crowd(3)[777] == alone


def test_what_is_told_of_a_person_names_all_attributes_worn() -> None:
    about = told(make_person(0, 0, 0.5))
    assert all(isinstance(value, str) for value in about.values())
    person = make_person(0, 0, 0.5)
    assert person.upper_cloth.colour in about["upper"]
    assert person.upper_cloth.dye in about["upper dyed"]
