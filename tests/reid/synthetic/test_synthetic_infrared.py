"""Infrared is not a grey photograph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from reid.modality import Modality
from reid.synthetic import World
from reid.synthetic.atlas import garment_brightness, make_atlas
from reid.synthetic.camera import make_camera, take_shot
from reid.synthetic.infrared import render_infrared
from reid.synthetic.person import Person, make_person
from reid.synthetic.rgb import render_rgb
from reid.synthetic.wardrobe import COLOURS


def cloth_of(person: Person, tile: str = "upper") -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Luminance and near-infrared reflectance of a garment's texels away from neck and hem."""
    atlas = make_atlas(person)
    first, rows = atlas.first_row[tile], atlas.rows[tile]
    part = atlas.planes[:, first + rows // 3 : first + rows * 3 // 4].astype(np.float64)
    return part[:3].mean(axis=0), part[3]


@pytest.mark.parametrize("tile", ["upper", "leg"])
def test_how_light_a_garment_is_says_nothing_of_its_infrared(tile: str) -> None:
    pairs = np.array([garment_brightness(make_person(0, n, 0.0), tile) for n in range(350)])
    assert abs(np.corrcoef(pairs.T)[0, 1]) < 0.15
    # Both spread widely, so the correlation is not small for want of variety.
    assert pairs.std(axis=0).min() > 25


def test_black_clothes_are_of_every_brightness_in_infrared() -> None:
    people = (make_person(0, n, 0.0) for n in range(350))
    black = [garment_brightness(p)[1] for p in people if p.upper_cloth.colour == "black"]
    assert len(black) > 30
    assert min(black) < 45
    assert max(black) > 160


def test_recolouring_a_garment_leaves_its_infrared_image_as_it_was() -> None:
    person = next(p for p in (make_person(0, n, 0.0) for n in range(99)) if p.upper_cloth.pattern == "plain")
    camera = make_camera(0, "n1")
    shot = take_shot(0, 0, camera, 0, 128, 64)
    images, photos = [], []
    for colour in COLOURS:
        worn = replace(person, upper_cloth=replace(person.upper_cloth, colour=colour))
        images.append(render_infrared(0, worn, camera, shot))
        photos.append(render_rgb(0, worn, make_camera(0, "c1"), shot))
    assert all(np.array_equal(images[0], image) for image in images)
    assert len({photo.tobytes() for photo in photos}) == len(COLOURS)


def test_a_pattern_vanishes_in_infrared_when_both_dyes_are_of_one_kind() -> None:
    person = next(p for p in (make_person(0, n, 0.0) for n in range(400)) if p.upper == "t-shirt")
    cloth = replace(person.upper_cloth, colour="black", pattern="horizontal stripes", second="white", dye="reactive")
    same = cloth_of(replace(person, upper_cloth=replace(cloth, second_dye="reactive")))
    other = cloth_of(replace(person, upper_cloth=replace(cloth, second_dye="carbon")))

    def stripes(plane: NDArray[np.float64]) -> float:
        return float(plane.mean(axis=1).std())

    assert stripes(same[0]) == pytest.approx(stripes(other[0]))
    assert stripes(same[0]) > 50
    assert stripes(same[1]) < 8
    assert stripes(other[1]) > 50


def test_about_half_of_the_patterns_are_seen_in_infrared() -> None:
    people = [make_person(0, n, 0.0) for n in range(800)]
    patterned = [p.upper_cloth for p in people if p.upper_cloth.second]
    assert 0.25 < sum(c.dye != c.second_dye for c in patterned) / len(patterned) < 0.6


def test_skin_of_every_tone_is_equally_bright_in_infrared() -> None:
    person = next(p for p in (make_person(0, n, 0.0) for n in range(99)) if p.hair == "short" and not p.beard)
    faces = []
    for skin in range(8):
        atlas = make_atlas(replace(person, skin=skin))
        first, rows = atlas.first_row["skin"], atlas.rows["skin"]
        faces.append(atlas.planes[:, first : first + rows].astype(float).mean(axis=(1, 2)))
    visible, infrared = np.array(faces)[:, :3].mean(axis=1), np.array(faces)[:, 3]
    assert visible.max() > 3 * visible.min()
    assert np.ptp(infrared) < 1


def test_the_same_person_is_more_alike_in_infrared_than_two_people() -> None:
    # A cue must be there: mean brightness of trunk and legs, middle columns, over all cameras.
    world = World(0, 60, modalities=(Modality.IR,), lookalikes=0.0)
    per_person = len(world) // world.people
    features = np.array([
        [image[36:64, 24:40].mean(), image[76:100, 24:40].mean()]
        for image in (world.render(i)[:, :, 0].astype(float) for i in range(len(world)))
    ]).reshape(world.people, per_person, 2)  # fmt: skip
    within = features.var(axis=1).mean(axis=0)
    between = features.mean(axis=1).var(axis=0)
    assert (between > 0.4 * within).all()


def test_infrared_cameras_are_others_than_visible_ones() -> None:
    world = World(0, 3, cameras=6)
    assert world.camera_names(Modality.RGB) == ("c1", "c2", "c3", "c4", "c5", "c6")
    assert world.camera_names(Modality.IR) == ("n1", "n2", "n3")
    visible = {(make_camera(0, n).tilt, make_camera(0, n).scene) for n in world.camera_names(Modality.RGB)}
    assert not visible & {(make_camera(0, n).tilt, make_camera(0, n).scene) for n in world.camera_names(Modality.IR)}
