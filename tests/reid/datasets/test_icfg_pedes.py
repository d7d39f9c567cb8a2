"""ICFG-PEDES in miniature: MSMT17's folders, a split of its own, nobody for validation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from reid.datasets import load_dataset
from reid.datasets.check import check_dataset
from reid.errors import UserError
from reid.modality import Modality
from reid.sample import Split


@pytest.fixture
def root(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    folder = tmp_path / "ICFG-PEDES"
    entries = []
    # As published, a train person can lie in the folder test/ and a test person in train/.
    people = [(n, "train", f"test/{n:04d}") for n in range(8)] + [(n, "test", f"train/{n:04d}") for n in range(20, 23)]
    for number, split, place in people:
        for camera in (5, 14):
            path = f"{place}/{number:04d}_010_{camera:02d}_0303afternoon_1591_0.png"
            write_image(folder / "imgs" / path)
            entries.append({"split": split, "captions": [f"person {number}"], "file_path": path, "id": number})
    (folder / "ICFG-PEDES.json").write_text(json.dumps(entries))
    return folder


def test_the_split_is_that_of_the_file_and_cameras_those_of_msmt17(root: Path) -> None:
    dataset = load_dataset("icfg-pedes", root)
    assert {s.person_id for s in dataset.select(Split.TRAIN)} == {str(n) for n in range(8)}
    assert {s.person_id for s in dataset.select(Split.TEST)} == {"20", "21", "22"}
    assert not dataset.select(Split.VAL)
    photos = dataset.select(modalities=[Modality.RGB])
    assert {s.camera_id for s in photos} == {"5", "14"}
    assert all(f"_010_{int(s.camera_id or 0):02d}_" in s.sample_id for s in photos)
    assert not check_dataset(dataset, progress=False).broken


def test_published_figures(root: Path) -> None:
    counts = {c.what: (c.found, c.published) for c in load_dataset("icfg-pedes", root).counts}
    assert counts == {
        "train images": (16, 34_674),
        "train people": (8, 3_102),
        "train captions": (16, 34_674),
        "test images": (6, 19_848),
        "test people": (3, 1_000),
        "test captions": (6, 19_848),
    }


def test_the_other_name_of_the_file(root: Path) -> None:
    samples = load_dataset("icfg-pedes", root).samples
    (root / "ICFG-PEDES.json").rename(root / "ICFG_PEDES.json")
    assert load_dataset("icfg-pedes", root).samples == samples
    (root / "ICFG_PEDES.json").unlink()
    with pytest.raises(UserError, match=r"expected ICFG-PEDES\.json or ICFG_PEDES\.json in it, found imgs/"):
        load_dataset("icfg-pedes", root)


def test_people_held_out_for_validation(root: Path) -> None:
    held = {}
    for number in (2, 5):
        dataset = load_dataset("icfg-pedes", root, {"val_people": str(number)})
        train, val, test = (
            {s.person_id for s in dataset.select(split)} for split in (Split.TRAIN, Split.VAL, Split.TEST)
        )
        assert (len(val), len(train), test) == (number, 8 - number, {"20", "21", "22"})
        assert not val & train
        assert {s.modality for s in dataset.select(Split.VAL)} == {Modality.RGB, Modality.TEXT}
        counts = {c.what: c.found for c in dataset.counts}
        assert counts["train people"] == 8, "the published figure is about the list"
        assert counts["people held out of train for validation"] == number
        held[number] = val
    assert held[2] < held[5], "a larger number only adds people"
    # As `printf icfg-pedes:6 | sha256sum` orders them, on every machine.
    assert held[2] == {"1", "6"}


def test_versions_of_a_data_set_hold_out_the_same_people(root: Path) -> None:
    plain = load_dataset("icfg-pedes", root, {"val_people": "3"})
    for image in (root / "imgs").rglob("*.png"):
        target = root / "imgs-sketch" / image.relative_to(root / "imgs")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(image.read_bytes())
    tri = load_dataset("tri-icfg-pedes", root, {"val_people": "3"})
    people = {s.person_id for s in plain.select(Split.VAL)}
    assert {s.person_id for s in tri.select(Split.VAL)} == people
    assert {s.modality for s in tri.select(Split.VAL)} == {Modality.RGB, Modality.TEXT, Modality.SKETCH}


@pytest.mark.parametrize("value", ["8", "-1", "many", "", "²"])
def test_impossible_numbers_of_people(root: Path, value: str) -> None:
    with pytest.raises(UserError, match=f"option val_people={value}: expected a number from 0 to 7"):
        load_dataset("icfg-pedes", root, {"val_people": value})
