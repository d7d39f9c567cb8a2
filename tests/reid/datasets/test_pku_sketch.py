"""PKU-Sketch with empty files in place of pictures: its size is part of the protocol."""

from __future__ import annotations

from pathlib import Path

import pytest

from reid.datasets import load_dataset
from reid.errors import UserError
from reid.modality import Modality
from reid.protocol import Drop
from reid.sample import Split

STYLES = {"a": 46, "b": 20, "c": 79, "d": 33, "e": 22}
TESTED = {"a": 11, "b": 5, "c": 20, "d": 8, "e": 6}


def style_of(person: int) -> str:
    """People 1..46 were drawn by artist a, the next 20 by b, ..."""
    for style, number in STYLES.items():
        if person <= number:
            return style
        person -= number
    raise AssertionError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "PKUSketchRE-ID_V1"
    for part in ("photo", "sketch", "styleAnnotation"):
        (folder / part).mkdir(parents=True)
    people: dict[str, list[int]] = {style: [] for style in STYLES}
    for person in range(1, 201):
        people[style_of(person)].append(person)
        for camera in (3, 5):
            (folder / "photo" / f"{person}_{camera:02d}_356.jpg").touch()
        (folder / "sketch" / f"{person}.jpg").touch()
    for style, listed in people.items():
        # Windows line ends and descending order, which must not matter.
        lines = "".join(f"{person}\r\n" for person in reversed(listed))
        (folder / "styleAnnotation" / f"{style}_{len(listed)}.txt").write_bytes(lines.encode())
    return folder


def test_layout(root: Path) -> None:
    dataset = load_dataset("pku-sketch", root)
    by_id = {s.sample_id: s for s in dataset.samples}
    photo, sketch = by_id["photo/7_05_356.jpg"], by_id["sketch/7.jpg"]
    assert (photo.person_id, photo.camera_id, photo.modality, photo.source_id) == (
        "7",
        "5",
        Modality.RGB,
        "photo/7_05_356.jpg",
    )
    assert (sketch.person_id, sketch.camera_id, sketch.modality, sketch.source_id) == ("7", "a", Modality.SKETCH, None)
    assert by_id["sketch/200.jpg"].camera_id == "e"
    assert photo.split is sketch.split
    assert load_dataset("pku-sketch", root.parent).samples == dataset.samples
    assert not any(c.differs for c in dataset.counts)
    assert len(dataset.counts) == 11


@pytest.mark.parametrize("split", ["0", "9"])
def test_fixed_number_of_every_style_is_tested(root: Path, split: str) -> None:
    dataset = load_dataset("pku-sketch", root, {"split": split})
    tested = [s for s in dataset.select(Split.TEST) if s.modality is Modality.SKETCH]
    assert {style: sum(s.camera_id == style for s in tested) for style in STYLES} == TESTED
    assert len(dataset.select(Split.TEST, modalities=[Modality.RGB])) == 100
    (protocol,) = dataset.protocols
    assert (protocol.query.modalities, protocol.gallery.modalities) == ((Modality.SKETCH,), (Modality.RGB,))
    assert protocol.drop is Drop.NONE
    assert any(f"split {split} of 0..9" in note for note in protocol.notes)
    assert any("were never published" in note and f"random.Random({split})" in note for note in protocol.notes)


def test_ten_different_splits_that_never_change(root: Path) -> None:
    tested = [
        frozenset(s.person_id for s in load_dataset("pku-sketch", root, {"split": str(n)}).select(Split.TEST))
        for n in range(10)
    ]
    assert len(set(tested)) == 10
    again = load_dataset("pku-sketch", root, {"split": "3"}).select(Split.TEST)
    assert tested[3] == {s.person_id for s in again}
    # What random.Random(0).sample of the 46 people of style a gives; pinned, because other machines must agree.
    first = {"25", "27", "3", "17", "33", "32", "26", "20", "31", "23", "14"}
    assert {person for person in tested[0] if int(person) <= 46} == first
    with pytest.raises(UserError, match="option split=10 of 'pku-sketch': expected one of 0, 1"):
        load_dataset("pku-sketch", root, {"split": "10"})


def test_people_held_out(root: Path) -> None:
    dataset = load_dataset("pku-sketch", root, {"val_people": "20"})
    splits = [len({s.person_id for s in dataset.select(split)}) for split in (Split.TRAIN, Split.VAL, Split.TEST)]
    assert splits == [130, 20, 50]
    assert {s.modality for s in dataset.select(Split.VAL)} == {Modality.RGB, Modality.SKETCH}


def test_wrong_layouts(root: Path) -> None:
    file = root / "styleAnnotation" / "c_79.txt"
    people = file.read_text()
    file.write_text("101\nfour\n")
    with pytest.raises(UserError, match=r"c_79\.txt: expected one person number per line"):
        load_dataset("pku-sketch", root)
    file.write_text("\n".join(people.split()[:15]))
    with pytest.raises(UserError, match="style c has 15 people, but 20 of them are tested"):
        load_dataset("pku-sketch", root)
    file.unlink()
    with pytest.raises(UserError, match=r"no file of style c; expected c_79\.txt"):
        load_dataset("pku-sketch", root)
    file.write_text(people)
    (root / "styleAnnotation" / "c_80.txt").write_text(people)
    with pytest.raises(UserError, match=r"c_80\.txt: a second file of style c"):
        load_dataset("pku-sketch", root)
    (root / "styleAnnotation" / "c_80.txt").unlink()
    (root / "sketch" / "201.jpg").touch()
    with pytest.raises(UserError, match="person 201 is in no file of"):
        load_dataset("pku-sketch", root)
    (root / "sketch" / "201.jpg").rename(root / "photo" / "nobody.jpg")
    with pytest.raises(UserError, match=r"nobody\.jpg: expected a name like 1_05_356\.jpg"):
        load_dataset("pku-sketch", root)
    with pytest.raises(UserError, match="not a PKU-Sketch folder; expected photo, sketch, styleAnnotation in it"):
        load_dataset("pku-sketch", root / "photo")
