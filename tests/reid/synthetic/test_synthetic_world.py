"""Any sample without the others, the same on every machine."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from reid.datasets.manifest_protocols import default_protocols
from reid.errors import UserError
from reid.modality import Modality
from reid.sample import Split
from reid.synthetic import World
from reid.synthetic.atlas import make_atlas
from reid.synthetic.camera import make_camera
from reid.synthetic.figure import make_figure
from reid.synthetic.marks import make_marks
from reid.synthetic.person import make_person
from reid.synthetic.scene import make_scene


def forget() -> None:
    for cached in (make_person, make_figure, make_atlas, make_marks, make_camera, make_scene):
        cached.cache_clear()


def content(world: World, index: int) -> bytes:
    text = world.place(index).modality is Modality.TEXT
    return world.text(index).encode() if text else world.render(index).tobytes()


def test_samples_do_not_depend_on_which_were_made_before() -> None:
    world = World(2, 5, cameras=2, per_camera=2)
    forget()
    forward = [content(world, i) for i in range(len(world))]
    for index in reversed(range(0, len(world), 3)):
        forget()
        assert content(world, index) == forward[index]
    assert len(set(forward)) == len(world)


def test_samples_do_not_depend_on_how_many_there_are() -> None:
    small, large = World(2, 4, cameras=2, per_camera=1), World(2, 50, cameras=3, per_camera=3, captions=4)
    places = {large.place(i): i for i in range(len(large))}
    for index in range(len(small)):
        other = places[small.place(index)]
        assert content(small, index) == content(large, other)
        a, b = small.sample(index), large.sample(other)
        assert (a.sample_id, a.person_id, a.split) == (b.sample_id, b.person_id, b.split)


def test_seeds_and_lookalikes_give_other_worlds() -> None:
    worlds = [World(0, 3), World(1, 3), World(0, 3, lookalikes=0.0)]
    assert len({content(world, 20) for world in worlds}) == 3


def test_images_have_the_size_and_form_that_is_promised() -> None:
    for size in ((128, 64), (256, 128), (96, 48), (65, 33)):
        world = World(0, 1, cameras=1, per_camera=1, size=size)
        for index in range(len(world)):
            if world.place(index).modality is Modality.TEXT:
                continue
            image = world.render(index)
            assert image.shape == (*size, 3)
            assert image.dtype == np.uint8
            assert image.std() > 8
            equal = np.array_equal(image[:, :, 0], image[:, :, 1]) and np.array_equal(image[:, :, 1], image[:, :, 2])
            assert equal == (world.place(index).modality is not Modality.RGB)


def test_the_larger_image_shows_the_same_as_the_smaller() -> None:
    small, large = World(0, 6, size=(128, 64)), World(0, 6, size=(256, 128))
    near, far = [], []
    shrunk = []
    for person in range(6):
        index = person * (len(small) // 6)
        image = large.render(index).astype(float).reshape(128, 2, 64, 2, 3).mean(axis=(1, 3))
        shrunk.append(image)
        near.append(np.abs(image - small.render(index)).mean())
    for a in range(6):
        far.append(np.abs(shrunk[a] - shrunk[(a + 1) % 6]).mean())
    assert max(near) < 0.6 * min(far)


# sha256 of pixels and captions: they change when people are drawn differently, never with the machine or NumPy.
GOLDEN = {
    "rgb": "60751bad1cb1dfb7c2ed",
    "ir": "6f75265c6f3d65b8d5a2",
    "sketch": "00ffd609e60599b34edd",
    "rgb 256": "26522407bf7467ea8c3f",
    "text": "e0cfbdbcb329d66ca704",
}


def golden() -> dict[str, str]:
    world, tall = World(0, 8), World(0, 2, size=(256, 128), cameras=2, per_camera=1)
    found: dict[str, bytes] = {}
    for index in range(len(world)):
        modality = str(world.place(index).modality)
        if world.place(index).shot == 1:
            found[modality] = found.get(modality, b"") + content(world, index)
    found["rgb 256"] = b"".join(tall.render(i) for i in (0, 1, len(tall) // 2))
    return {name: hashlib.sha256(data).hexdigest()[:20] for name, data in found.items()}


def test_bytes_are_the_same_on_every_machine() -> None:
    assert golden() == GOLDEN


def test_people_are_dealt_to_splits_by_family_in_the_stated_shares() -> None:
    world = World(0, 2000)
    splits = Counter(world.split(number) for number in range(2000))
    assert splits[Split.TRAIN] / 2000 == pytest.approx(0.6, abs=0.03)
    assert splits[Split.VAL] / 2000 == pytest.approx(0.1, abs=0.03)
    assert splits[Split.TEST] / 2000 == pytest.approx(0.3, abs=0.03)
    families: dict[int, set[Split]] = {}
    for number in range(2000):
        families.setdefault(world.person(number).family, set()).add(world.split(number))
    assert all(len(found) == 1 for found in families.values())
    alike = Counter(family for family in (world.person(n).family for n in range(2000)))
    assert any(alike[family] > 1 and found == {Split.TEST} for family, found in families.items())


def test_samples_say_what_they_are() -> None:
    world = World(0, 12, cameras=3, per_camera=2, sketches=1, captions=2)
    samples = world.samples()
    assert len(samples) == len(world) == 12 * (3 * 2 + 2 * 2 + 1 + 2)
    assert len({s.sample_id for s in samples}) == len(samples)
    for s in samples:
        assert (s.camera_id is None) == (s.modality in (Modality.SKETCH, Modality.TEXT))
        assert (s.source_id == s.sample_id) == (s.modality is Modality.RGB)
    assert {s.camera_id for s in samples} == {"c1", "c2", "c3", "n1", "n2", None}
    assert {s.person_id for s in samples} == {f"{n:04d}" for n in range(12)}
    per_camera = Counter((s.person_id, s.camera_id) for s in samples if s.camera_id)
    assert set(per_camera.values()) == {2}


def test_every_modality_is_asked_against_photographs() -> None:
    world = World(0, 20, cameras=2, per_camera=1)
    protocols, warnings = default_protocols(world.samples())
    assert [p.name for p in protocols] == ["rgb-to-rgb", "ir-to-rgb", "sketch-to-rgb", "text-to-rgb"]
    assert warnings == ()


def test_only_the_modalities_asked_for() -> None:
    world = World(0, 3, modalities=(Modality.SKETCH, Modality.TEXT), sketches=1, captions=1)
    assert [world.place(i).modality for i in range(2)] == [Modality.SKETCH, Modality.TEXT]
    with pytest.raises(ValueError, match="caption"):
        world.render(1)
    with pytest.raises(ValueError, match="image"):
        world.text(0)
    for index in (-1, len(world)):
        with pytest.raises(IndexError):
            world.render(index)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"people": 0}, "people: 0 .* from 1 to"),
        ({"people": 10**9}, "people: 1000000000"),
        ({"cameras": 0}, "cameras: 0"),
        ({"per_camera": 0}, "images per camera: 0"),
        ({"size": (512, 64)}, "image height: 512"),
        ({"size": (128, 8)}, "image width: 8"),
        ({"lookalikes": 1.5}, "lookalikes: 1.5"),
        ({"modalities": ()}, "modalities: none"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(change: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        replace(World(0, 2), **change)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_memorising_backgrounds_does_not_help() -> None:
    # Two shots of one camera show different parts of its scene, and cameras have different scenes.
    world = World(0, 3, cameras=4, per_camera=2, modalities=(Modality.RGB,))
    corners = [world.render(i)[:24, :10].astype(float) for i in range(8)]
    same = [np.abs(corners[2 * c] - corners[2 * c + 1]).mean() for c in range(4)]
    assert max(same) > 8
    scenes = {make_camera(0, name).scene for name in world.camera_names(Modality.RGB)}
    assert len(scenes) == 4
