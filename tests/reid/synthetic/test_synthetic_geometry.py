"""Strips, pixels and compositing against slow, plain formulations."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from reid.synthetic.camera import make_camera, take_shot
from reid.synthetic.figure import make_figure
from reid.synthetic.paint import lay, rasterise, resolve
from reid.synthetic.person import Person, differing, family_of, make_person
from reid.synthetic.pose import INDEX, Stride, place_joints
from reid.synthetic.raster import Pixels, fill
from reid.synthetic.rgb import render_rgb
from reid.synthetic.view import Frame, Sight, Strips, look

F = np.float32
STANDING = Stride(phase=0, swing=0, arms=1, elbow=10, turn=0, nod=0, lean=0, apart=7)


def one_strip(x0: float, y0: float, x1: float, y1: float, half: float, round_end: float = 0.0) -> Pixels:
    ends = (np.array([v], F) for v in (x0, y0, x1, y1))
    width = np.full((1, 9), half, F)
    nothing, cap = np.zeros(1, F), np.array([round_end], F)
    return fill(*ends, width, np.zeros((1, 9), F), nothing, cap, cap, 60, 50)


@pytest.mark.parametrize("angle", [0, 20, 45, 77, 90, 160, 250])
def test_coverage_adds_up_to_the_area(angle: float) -> None:
    dx, dy = 12 * np.cos(np.radians(angle)), 12 * np.sin(np.radians(angle))
    pixels = one_strip(25 - dx, 30 - dy, 25 + dx, 30 + dy, 5.0)
    # The cut ends are smoothed over less than a pixel.
    assert 24 * 10 * 0.98 < pixels.coverage.sum() < 25 * 10 * 1.02
    ball = one_strip(25 - dx, 30 - dy, 25 + dx, 30 + dy, 5.0, round_end=1.0)
    assert ball.coverage.sum() == pytest.approx(24 * 10 + np.pi * 5 * 5.5, rel=0.03)


def test_thin_strips_keep_their_area_in_coverage() -> None:
    pixels = one_strip(25.3, 10, 25.3, 50, 0.2)
    assert pixels.coverage.sum() == pytest.approx(40 * 0.4, rel=0.15)


def test_surface_coordinates_run_along_and_across() -> None:
    pixels = one_strip(25, 10, 25, 50, 8.0)
    y, x = np.divmod(pixels.position, 50)
    inside = pixels.coverage == 1
    assert np.allclose(pixels.along[inside], np.clip((y[inside] + 0.5 - 10) / 40, 0, 1), atol=1e-5)
    assert np.allclose(pixels.across[inside], (x[inside] + 0.5 - 25) / 8, atol=1e-5)
    assert np.allclose(pixels.facing**2 + pixels.across**2, 1, atol=1e-5)


def test_strips_outside_the_picture_have_no_pixels() -> None:
    for where in ((-40.0, 10.0), (25.0, -70.0), (120.0, 30.0), (25.0, 150.0)):
        assert one_strip(where[0], where[1], where[0] + 3, where[1] + 20, 4.0).position.size == 0
    half_in = one_strip(0, 10, 0, 50, 6.0)
    assert half_in.position.min() >= 0
    assert half_in.coverage.sum() == pytest.approx(40 * 6, rel=0.05)


def strips_of(number: int, sight: Sight) -> tuple[Strips, Pixels]:
    person = make_person(0, number, 0.5)
    strips = look(make_figure(person), place_joints(person, STANDING), sight, Frame(128, 64, 0.9, 0.05, 0, 1))
    return strips, rasterise(strips, 128, 64)


@pytest.mark.parametrize("number", [0, 5, 31, 57])
def test_compositing_equals_painting_one_strip_over_the_other(number: int) -> None:
    _, pixels = strips_of(number, Sight(70, 75, 12, 700))
    colours = np.random.default_rng(number).uniform(0, 255, (3, pixels.position.size)).astype(F)
    ground = np.random.default_rng(9).uniform(0, 255, (3, 128, 64)).astype(F)
    painted = ground.reshape(3, -1).astype(np.float64)
    for first, last in pixels.spans():
        for i in range(first, last):
            where, cover = pixels.position[i], float(pixels.coverage[i])
            painted[:, where] += cover * (colours[:, i] - painted[:, where])
    # Colours of dropped pixels must not matter, so find those that are left by their place in the list.
    seen, clear = resolve(pixels, 128 * 64)
    index = {
        (strip, place): i
        for i, (strip, place) in enumerate(
            zip(pixels.spread(np.arange(pixels.sizes.size)).tolist(), pixels.position.tolist(), strict=True)
        )
    }
    kept = [
        index[key] for key in zip(seen.spread(np.arange(seen.sizes.size)).tolist(), seen.position.tolist(), strict=True)
    ]
    lay(ground, seen, clear, colours[:, kept])
    assert np.abs(ground.reshape(3, -1) - painted).max() < 0.01
    assert seen.position.size < pixels.position.size


def labels(number: int, yaw: float) -> dict[str, int]:
    """How many pixels of each part are seen."""
    person = make_person(0, number, 0.5)
    figure = make_figure(person)
    strips, pixels = strips_of(number, Sight(yaw, yaw, 5, 1000))
    seen, _ = resolve(pixels, 128 * 64)
    weight = np.bincount(seen.spread(np.arange(seen.sizes.size)), seen.coverage, seen.sizes.size)
    return {figure.parts[part].label: int(weight[i]) for i, part in enumerate(strips.part.tolist())}


def test_a_backpack_is_seen_from_behind_and_hardly_from_the_front() -> None:
    number = next(n for n in range(200) if make_person(0, n, 0.5).carried == "backpack")
    assert labels(number, 180)["backpack"] > 8 * max(1, labels(number, 0)["backpack"])
    assert labels(number, 180)["torso"] < 0.8 * labels(number, 0)["torso"]


def test_the_near_arm_hides_the_torso_and_the_torso_the_far_arm() -> None:
    seen = labels(0, 90)
    # Looking to the right of the picture, the person's right side is towards the camera.
    assert seen["right upper arm"] > 3 * seen["left upper arm"]
    seen = labels(0, -90)
    assert seen["left upper arm"] > 3 * seen["right upper arm"]


def test_turning_round_moves_left_to_right() -> None:
    person = make_person(0, 3, 0.5)
    joints = place_joints(person, STANDING)
    figure, frame = make_figure(person), Frame(128, 64, 0.9, 0.05, 0, 1)
    part = next(i for i, p in enumerate(figure.parts) if p.label == "left forearm")

    def x_of(yaw: float) -> float:
        strips = look(figure, joints, Sight(yaw, yaw, 5, 1000), frame)
        return float(strips.x0[strips.part.tolist().index(part)])

    assert x_of(0) > 36
    assert x_of(180) < 28


def test_the_person_fills_the_frame_as_told() -> None:
    for number in range(20):
        person = make_person(0, number, 0.5)
        strips, _ = strips_of(number, Sight(30, 30, 8, 800))
        heads = [i for i, p in enumerate(strips.part.tolist()) if make_figure(person).parts[p].label == "head"]
        assert strips.y0[heads[0]] == pytest.approx(0.05 * 128 + 2 * strips.unit, abs=1.5)
        assert strips.feet[0] == pytest.approx(0.95 * 128, abs=4)


def test_walking_puts_a_foot_on_the_ground_and_one_knee_before_the_other() -> None:
    person = make_person(0, 2, 0.0)
    gaps = []
    for phase in range(0, 360, 15):
        joints = place_joints(person, Stride(phase, 24, 1, 20, 0, 0, 2, 7))
        feet = [joints[INDEX[f"{side} {part}"]] for side in ("left", "right") for part in ("heel", "toe")]
        assert min(y for _, y, _ in feet) == pytest.approx(0, abs=1e-6)
        gaps.append(joints[INDEX["left knee"]][2] - joints[INDEX["right knee"]][2])
    assert max(gaps) > 20
    assert min(gaps) < -20


def test_bones_keep_their_length_whatever_the_pose() -> None:
    person = make_person(0, 2, 0.0)
    for phase in range(0, 360, 40):
        joints = np.array(place_joints(person, Stride(phase, 24, 1, 20, 30, 5, 3, 9)))
        for side in ("left", "right"):
            for a, b, length in (("hip", "knee", 42), ("knee", "ankle", 40)):
                bone = joints[INDEX[f"{side} {a}"]] - joints[INDEX[f"{side} {b}"]]
                assert np.linalg.norm(bone) == pytest.approx(length * person.height / 175, rel=0.01)


def test_shots_look_from_all_sides_and_some_are_occluded() -> None:
    camera = make_camera(0, "c1")
    shots = [take_shot(0, person, camera, 0, 128, 64) for person in range(600)]
    directions = np.bincount([round(shot.sight.yaw / 45) % 8 for shot in shots], minlength=8)
    assert directions.min() > 40
    occluders = [shot.occluder for shot in shots if shot.occluder]
    assert len(set(occluders)) == 5
    assert 0.1 < len(occluders) / len(shots) < 0.28
    assert 0.03 < sum(shot.frame.fill > 1 for shot in shots) / len(shots) < 0.12


def seen_from_all_sides(person: Person) -> list[NDArray[np.float64]]:
    """Clean photographs from front, back and both sides."""
    camera = replace(make_camera(0, "c1"), noise=0.0, sharpness=1.0, exposure=1.0, saturation=1.0)
    images = []
    for yaw in (0.0, 90.0, 180.0, 270.0):
        shot = take_shot(0, 0, camera, 0, 128, 64)
        sight, frame = Sight(yaw, yaw, 6.0, 900.0), Frame(128, 64, 0.92, 0.04, 0.0, 1.0)
        shot = replace(shot, stride=STANDING, sight=sight, frame=frame, motion=0.0, occluder=None)
        images.append(render_rgb(0, person, camera, shot).astype(float))
    return images


def difference(a: Person, b: Person) -> float:
    """How many pixels differ clearly from the side where most do."""
    sides = zip(seen_from_all_sides(a), seen_from_all_sides(b), strict=True)
    return max(int((np.abs(x - y).max(axis=2) > 25).sum()) for x, y in sides)


def test_what_sets_look_alikes_apart_can_be_seen() -> None:
    changed = Counter[str]()
    for number in range(120):
        person, (_, first, _) = make_person(0, number, 1.0), family_of(number, 1.0)
        if number != first:
            template = make_person(0, first, 1.0)
            changed.update(differing(template, person))
            assert difference(template, person) >= 25, (number, differing(template, person))
    assert set(changed) >= {"hair colour", "hat", "carried", "upper colour", "upper pattern", "lower colour"}


def test_every_garment_shows() -> None:
    people = [make_person(0, number, 0.0) for number in range(120)]
    for number, person in enumerate(people):
        if number >= 30 and "coat" not in person.upper:
            continue
        others = [replace(person, upper_cloth=replace(person.upper_cloth, colour=c)) for c in ("red", "white")]
        assert difference(*others) > 150, number
        if person.lower != "bare legs":
            others = [replace(person, lower_cloth=replace(person.lower_cloth, colour=c)) for c in ("red", "white")]
            assert difference(*others) > 40, number
        others = [replace(person, shoe_colour=c) for c in ("red", "white")]
        assert difference(*others) > 5, number
