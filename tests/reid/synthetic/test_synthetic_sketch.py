"""Drawings by several hands."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from reid.synthetic.draw import Draw
from reid.synthetic.pen import HANDS, Strokes, ink_strokes
from reid.synthetic.person import Person, make_person
from reid.synthetic.sketch import draw_sketch, hand_of

INK = HANDS[0]


def drawings(person: Person, numbers: range = range(6)) -> dict[str, NDArray[np.float64]]:
    return {
        hand_of(0, person.number, n).name: draw_sketch(0, person, n, 128, 64)[:, :, 0].astype(float) for n in numbers
    }


def test_there_are_at_least_five_hands_and_a_persons_drawings_are_by_different_ones() -> None:
    assert len({hand.name for hand in HANDS}) == len(HANDS) >= 5
    for person in range(20):
        assert len({hand_of(0, person, n).name for n in range(len(HANDS))}) == len(HANDS)
    assert len({hand_of(0, person, 0).name for person in range(100)}) == len(HANDS)


def test_a_drawing_is_dark_strokes_on_white_paper() -> None:
    for number in range(8):
        for image in drawings(make_person(0, number, 0.5), range(3)).values():
            assert np.median(image[:, :3]) > 240
            assert image.min() < 150
            assert 0.03 < (image < 200).mean() < 0.6


def test_hands_draw_one_person_differently() -> None:
    looks = []
    for number in range(12):
        images = drawings(make_person(0, number, 0.5))
        looks.append([(image < 200).mean() for image in images.values()])
        names = list(images)
        assert len(names) == len(HANDS)
    ink = {hand.name: [] for hand in HANDS}  # type: dict[str, list[float]]
    for number in range(12):
        for name, image in drawings(make_person(0, number, 0.5)).items():
            ink[name].append(float((255 - image).mean()))
    means = {name: float(np.mean(values)) for name, values in ink.items()}
    assert means["charcoal"] > 1.8 * means["scribble"]
    assert means["marker"] > 1.5 * means["ink"]


@pytest.mark.parametrize("pattern", ["horizontal stripes", "vertical stripes", "check", "dots", "logo"])
def test_patterns_are_drawn(pattern: str) -> None:
    person = next(p for p in (make_person(0, n, 0.0) for n in range(300)) if p.upper == "t-shirt")
    person = replace(person, carried="nothing", scarf=None)
    plain = replace(person, upper_cloth=replace(person.upper_cloth, colour="white", pattern="plain", second=None))
    worn = replace(person, upper_cloth=replace(plain.upper_cloth, pattern=pattern, second="yellow"))
    # The same hand, pose and view: what differs is the pattern, and only in line drawings, so tone is no explanation.
    number = next(n for n in range(6) if hand_of(0, person.number, n) is INK)
    without, with_it = (draw_sketch(0, p, number, 128, 64)[:, :, 0].astype(float) for p in (plain, worn))
    trunk, legs = slice(28, 62), slice(80, 120)
    assert (255 - with_it[trunk]).sum() > 1.05 * (255 - without[trunk]).sum()
    assert np.abs(with_it[legs] - without[legs]).mean() < np.abs(with_it[trunk] - without[trunk]).mean()


def test_dark_clothes_are_hatched_by_hands_that_hatch() -> None:
    person = next(p for p in (make_person(0, n, 0.0) for n in range(300)) if p.upper == "sweater")
    number = next(n for n in range(6) if hand_of(0, person.number, n).name == "hatcher")
    tones = {}
    for colour in ("black", "white"):
        worn = replace(
            person,
            carried="nothing",
            upper_cloth=replace(person.upper_cloth, colour=colour, pattern="plain", second=None),
        )
        tones[colour] = float((255 - draw_sketch(0, worn, number, 128, 64)[30:60].astype(float)).mean())
    assert tones["black"] > 1.5 * tones["white"]


def line(hand_change: dict[str, float], n: int = 9) -> NDArray[np.int32]:
    ink = np.zeros((128, 64), np.int32)
    x, y = np.full(n, 32.0, np.float32), np.linspace(30, 90, n).astype(np.float32)
    hand = replace(INK, wobble=0.0, **hand_change)
    ink_strokes(ink, Strokes(x, y, np.zeros(n, np.int32)), hand, Draw("line"))
    return ink


def test_a_stroke_is_as_long_and_as_heavy_as_told() -> None:
    rows = np.flatnonzero(line({}).max(axis=1) > 100)
    assert (rows.min(), rows.max()) == pytest.approx((30, 90), abs=1)
    longer = np.flatnonzero(line({"overshoot": 6.0}).max(axis=1) > 100)
    assert (longer.min(), longer.max()) == pytest.approx((24, 96), abs=1)
    thin, thick = line({"weight": 0.5}).sum(), line({"weight": 2.0}).sum()
    assert thick > 2.2 * thin


def test_strokes_fall_apart_where_points_are_missing() -> None:
    values = np.arange(8, dtype=np.float32)
    strokes = Strokes(values, values, np.array([0, 0, 0, 0, 0, 1, 1, 1], np.int32))
    kept = strokes.where(np.array([1, 1, 0, 1, 1, 1, 0, 1], bool))
    # 0-1, 3-4; the points 5 and 7 are alone in their stroke and vanish.
    assert kept.x.tolist() == [0, 1, 3, 4]
    assert len(set(kept.stroke.tolist())) == 2
    assert kept.stroke[0] == kept.stroke[1]
    assert kept.stroke[1] != kept.stroke[2]
