"""Which observation lands in which cell: every image has a colour of its own, looked for on the sheet."""

from __future__ import annotations

from itertools import count, product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reid.errors import UserError
from reid.modality import Modality
from reid.pictures import contact_sheet
from reid.sample import Sample, Split

RGB, IR, SKETCH, TEXT = Modality
Box = tuple[int, int, int, int]


class World:
    """Samples whose images are even colours, no two alike."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.samples = folder, []
        self.colours: dict[str, tuple[int, int, int]] = {}
        self._numbers = count(1)

    def image(
        self, person: str, modality: Modality, camera: str | None, source: str | None = None, size=(32, 64)
    ) -> str:
        number = next(self._numbers)
        name = f"{number}.png"
        self.colours[name] = (40 + number * 5 % 200, (number * 37) % 200, (number * 91) % 200)
        Image.new("RGB", size, self.colours[name]).save(self.folder / name)
        self.samples.append(Sample(name, person, modality, Split.TRAIN, camera, self.folder / name, source_id=source))
        return name

    def text(self, person: str, sentence: str, source: str | None = None) -> None:
        sample_id = f"{person}#{next(self._numbers)}"
        self.samples.append(Sample(sample_id, person, TEXT, Split.TRAIN, text=sentence, source_id=source))

    def found(self, sheet: Image.Image) -> dict[str, Box]:
        """Where each image's colour lies: left, top, right, bottom."""
        pixels = np.asarray(sheet)
        boxes = {}
        for name, colour in self.colours.items():
            ys, xs = np.nonzero((pixels == colour).all(axis=-1))
            if len(ys) > 200:
                boxes[name] = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
        return boxes


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_rows_are_people_and_columns_modalities_and_cameras(world):
    cells = {}
    for person in ("ann", "bob", "cid"):
        for modality, camera in ((SKETCH, None), (RGB, "10"), (IR, "3"), (RGB, "2")):
            cells[person, modality, camera] = world.image(person, modality, camera)
    boxes = world.found(contact_sheet(world.samples, people=3, height=128))
    columns = [(RGB, "2"), (RGB, "10"), (IR, "3"), (SKETCH, None)]
    grid = np.array([[boxes[cells[p, m, c]] for m, c in columns] for p in ("ann", "bob", "cid")])
    left, top, right, bottom = np.moveaxis(grid, -1, 0)
    assert (left == left[0]).all()
    assert (top == top[:, :1]).all()
    assert (left[:, 1:] >= right[:, :-1]).all()
    assert (top[1:] >= bottom[:-1]).all()
    assert (bottom - top == 128).all()
    assert (right - left == 64).all()


def test_an_image_keeps_its_shape_inside_its_cell(world):
    tall = world.image("ann", RGB, "1", size=(32, 64))
    wide = world.image("ann", RGB, "2", size=(64, 32))
    narrow = world.image("ann", RGB, "3", size=(16, 64))
    boxes = world.found(contact_sheet(world.samples, people=1, height=120, columns=3))
    shapes = {name: (b[2] - b[0], b[3] - b[1]) for name, b in boxes.items()}
    assert shapes == {tall: (60, 120), wide: (60, 30), narrow: (30, 120)}
    # In the middle of its cell.
    assert boxes[wide][1] - boxes[tall][1] == boxes[tall][3] - boxes[wide][3]


def test_a_missing_observation_leaves_a_hatched_cell(world):
    first = world.image("ann", RGB, "1"), world.image("ann", IR, "2")
    second = world.image("bob", RGB, "1")
    sheet = contact_sheet(world.samples, people=["ann", "bob"], height=128, columns=2)
    boxes = world.found(sheet)
    assert set(boxes) == {*first, second}
    ir, rgb = boxes[first[1]], boxes[second]
    hole = np.asarray(sheet)[rgb[1] : rgb[3], ir[0] : ir[2]]
    assert (hole == 255).all(axis=-1).mean() < 0.05
    assert len(np.unique(hole.reshape(-1, 3), axis=0)) > 3


def test_the_seed_chooses_people_and_images(world):
    for number, camera in product(range(30), "12"):
        world.image(f"p{number}", RGB, camera)
    one = contact_sheet(world.samples, people=4, seed=1, height=64)
    assert one.tobytes() == contact_sheet(world.samples, people=4, seed=1, height=64).tobytes()
    assert set(world.found(one)) != set(world.found(contact_sheet(world.samples, people=4, seed=2, height=64)))


def test_people_seen_in_more_modalities_come_first(world):
    for number in range(20):
        world.image(f"p{number}", RGB, "1")
    full = [world.image("p3", IR, "2"), world.image("p8", IR, "2")]
    boxes = world.found(contact_sheet(world.samples, people=2, height=64))
    assert set(full) <= set(boxes)


def test_people_named_come_in_the_order_named(world):
    names = {person: world.image(person, RGB, "1") for person in ("a", "b", "c")}
    boxes = world.found(contact_sheet(world.samples, people=("c", "a"), height=64))
    assert set(boxes) == {names["c"], names["a"]}
    assert boxes[names["c"]][1] < boxes[names["a"]][1]


def test_a_view_of_a_photograph_on_the_sheet_is_preferred(world):
    photos = [world.image("ann", RGB, "1") for _ in range(8)]
    views = {photo: world.image("ann", SKETCH, "1", source=photo) for photo in photos}
    for seed in range(6):
        boxes = world.found(contact_sheet(world.samples, people=1, seed=seed, height=64, columns=2))
        shown = [photo for photo in photos if photo in boxes]
        assert len(shown) == 1
        assert set(boxes) == {shown[0], views[shown[0]]}


def test_few_cameras_are_filled_up_with_more_images(world):
    for _ in range(9):
        world.image("ann", RGB, "1")
    assert len(world.found(contact_sheet(world.samples, people=1, height=64))) == 6


def test_many_cameras_are_cut_and_every_modality_keeps_one(world):
    seen_by_both = {}
    for camera in range(1, 16):
        for person in ("ann", "bob") if camera in (4, 11) else ("ann",):
            seen_by_both[person, camera] = world.image(person, RGB, str(camera))
    sketch = world.image("bob", SKETCH, None)
    boxes = world.found(contact_sheet(world.samples, people=2, height=64, columns=3))
    assert set(boxes) == {seen_by_both[p, c] for p, c in product(("ann", "bob"), (4, 11))} | {sketch}
    assert len(world.found(contact_sheet(world.samples, people=2, height=64, columns=1))) == 3


def test_captions_stand_beside_their_person(world):
    box = world.image("ann", RGB, "1")
    other = world.image("bob", RGB, "1")
    plain = contact_sheet(world.samples, people=2, height=128, columns=1)
    world.text("bob", "a man in a green coat with a very long scarf")
    sheet = contact_sheet(world.samples, people=2, height=128, columns=1)
    assert sheet.width > plain.width + 200
    boxes = world.found(sheet)
    beside = np.asarray(sheet)[:, boxes[other][2] + 2 :]
    assert (beside[boxes[other][1] : boxes[other][3]] < 100).any()
    assert not (beside[boxes[box][1] : boxes[box][3]] < 100).any()


def test_the_caption_of_a_photograph_on_the_sheet_is_preferred(world):
    for _ in range(8):
        photo = world.image("ann", RGB, "1")
        world.text("ann", "the caption of one photograph" if photo == "1.png" else "an other one", photo)
    # Whichever photograph is shown, its own caption is the one that is written.
    pictures = {}
    for seed in range(40):
        sheet = contact_sheet(world.samples, people=1, seed=seed, height=64, columns=1, captions=1)
        (shown,) = world.found(sheet)
        edge = world.found(sheet)[shown][2] + 2
        pictures.setdefault(shown, set()).add(np.asarray(sheet)[:, edge:].tobytes())
    assert len(pictures) > 4
    assert "1.png" in pictures
    assert pictures["1.png"].isdisjoint(set().union(*(p for name, p in pictures.items() if name != "1.png")))


def test_attributes_stand_below_the_captions(world):
    box = world.image("ann", RGB, "1")
    world.text("ann", "a woman in red")
    plain, told = (
        np.asarray(contact_sheet(world.samples, people=1, height=128, columns=1, attributes=attributes))
        for attributes in (None, {"ann": {"hair": "red"}})
    )
    edge, top = world.found(Image.fromarray(plain))[box][2] + 2, world.found(Image.fromarray(plain))[box][1]
    changed = np.nonzero((plain != told).any(axis=(1, 2)))[0]
    written = np.nonzero((plain[top:, edge:] < 150).any(axis=(1, 2)))[0] + top
    assert changed.min() > written.max()


def test_long_captions_and_attributes_make_the_row_higher_and_do_not_overlap(world):
    first, second = world.image("ann", RGB, "1"), world.image("bob", RGB, "1")
    for number in range(3):
        world.text("ann", f"{number} " + "a person whose description goes on and on " * 6)
    short = world.found(contact_sheet(world.samples, people=2, height=64, captions=1))
    long = world.found(contact_sheet(world.samples, people=2, height=64, captions=3))
    told = world.found(
        contact_sheet(world.samples, people=2, height=64, captions=3, attributes={"ann": {"hair": "red " * 60}})
    )
    gaps = [boxes[second][1] - boxes[first][3] for boxes in (short, long, told)]
    assert gaps[0] < gaps[1] < gaps[2]


def test_differences_are_marked_only_on_request(world):
    for person in ("ann", "bob"):
        world.image(person, RGB, "1")
    world.text("ann", "A woman in a red coat.")
    world.text("bob", "A woman in a blue coat.")

    def marked(**options):
        pixels = np.asarray(contact_sheet(world.samples, height=64, **options))
        return int((pixels == (190, 40, 30)).all(axis=-1).sum())

    assert marked(people=2) == 0
    assert marked(people=2, mark_differences=True) > 20


def test_a_broken_image_is_named_or_shown_as_such(world):
    world.image("ann", RGB, "1")
    broken = world.image("bob", RGB, "1")
    (world.folder / broken).write_bytes(b"no image")
    with pytest.raises(UserError, match=broken):
        contact_sheet(world.samples, people=2)
    assert len(world.found(contact_sheet(world.samples, people=2, skip_broken=True))) == 1


def test_what_cannot_be_drawn_is_refused(world):
    world.image("0001", RGB, "1")
    world.text("0002", "a man")
    with pytest.raises(UserError, match="no person '001' among 2; did you mean 0001"):
        contact_sheet(world.samples, people=["001"])
    with pytest.raises(UserError, match="0 people asked for"):
        contact_sheet(world.samples, people=0)
    with pytest.raises(UserError, match="no images of 0002"):
        contact_sheet(world.samples, people=["0002"])
    with pytest.raises(UserError, match="no samples"):
        contact_sheet([])
