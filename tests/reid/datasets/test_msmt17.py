"""MSMT17 in miniature, both versions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reid.dataset import Dataset
from reid.datasets import load_dataset
from reid.errors import UserError
from reid.protocol import Drop
from reid.sample import Split

LISTS = {
    "train": ["0001/0001_001_02_0303morning_0010_0.jpg 1", "0000/0000_000_01_0303morning_0008_0.jpg 0"],
    "val": ["0002/0002_005_03_0303noon_0008_1.jpg 2", "0001/0001_009_15_0303noon_0008_0.jpg 1"],
    "query": ["0000/0000_000_01_0113morning_0000_0.jpg 0"],
    "gallery": ["0000/0000_001_14_0113noon_0000_0.jpg 0", "0001/0001_001_14_0113noon_0000_0.jpg 1"],
}

Build = Callable[..., Path]


@pytest.fixture
def build(tmp_path: Path, write_image: Callable[..., Path]) -> Build:
    def make(name: str = "MSMT17_V1", train: str = "train", test: str = "test") -> Path:
        folder = tmp_path / "data_c1" / name
        for part, lines in LISTS.items():
            for line in lines:
                write_image(folder / (train if part in ("train", "val") else test) / line.split(" ")[0])
            (folder / f"list_{part}.txt").write_text("\n".join(lines) + "\n")
        return folder

    return make


def of(dataset: Dataset, split: Split) -> list[tuple[str, str, str | None]]:
    return [(s.sample_id, s.person_id, s.camera_id) for s in dataset.select(split)]


def test_test_people_are_numbered_past_the_training_people(build: Build) -> None:
    dataset = load_dataset("msmt17", build())
    assert of(dataset, Split.TRAIN) == [
        ("train/0000/0000_000_01_0303morning_0008_0.jpg", "0000", "1"),
        ("train/0001/0001_001_02_0303morning_0010_0.jpg", "0001", "2"),
        ("train/0001/0001_009_15_0303noon_0008_0.jpg", "0001", "15"),
        ("train/0002/0002_005_03_0303noon_0008_1.jpg", "0002", "3"),
    ]
    assert of(dataset, Split.QUERY) == [("test/0000/0000_000_01_0113morning_0000_0.jpg", "0003", "1")]
    assert [person for _, person, _ in of(dataset, Split.GALLERY)] == ["0003", "0004"]
    assert all(s.image is not None and s.image.is_file() for s in dataset.samples)


def test_list_val_has_three_uses_and_the_protocol_says_which(build: Build) -> None:
    root = build()
    train, val, drop = (load_dataset("msmt17", root, {"list_val": use}) for use in ("train", "val", "drop"))
    assert [len(d.select(Split.TRAIN)) for d in (train, val, drop)] == [4, 2, 2]
    assert [len(d.select(Split.VAL)) for d in (train, val, drop)] == [0, 2, 0]
    # The people of the test set keep their numbers whatever list_val becomes.
    assert of(train, Split.GALLERY) == of(val, Split.GALLERY) == of(drop, Split.GALLERY)
    notes = [" ".join(d.protocol().notes) for d in (train, val, drop)]
    assert "used for training (TransReID, CLIP-ReID)" in notes[0]
    assert "validation split" in notes[1]
    assert "left out (fast-reid, torchreid)" in notes[2]
    published = [{c.what: c.published for c in d.counts} for d in (train, val, drop)]
    assert [p["train images"] for p in published] == [32_621, 30_248, 30_248]
    assert published[1]["validation images"] == 2_373
    assert published[0]["query images"] == 11_659
    assert published[0]["gallery images"] == 82_161
    assert published[0]["train people"] == 1_041
    assert published[0]["test people"] == 3_060
    assert published[0]["cameras"] == 15


def test_default_is_training_on_list_val_by_rule_m(build: Build) -> None:
    dataset = load_dataset("msmt17", build())
    assert dataset.options["list_val"] == "train"
    assert dataset.protocol().drop is Drop.SAME_CAMERA


@pytest.mark.parametrize(
    ("name", "train", "test", "release"),
    [
        ("MSMT17_V1", "train", "test", "V1"),
        ("MSMT17", "train", "test", "V1"),
        ("MSMT17_V2", "mask_train_v2", "mask_test_v2", "V2"),
        ("MSMT17", "mask_train_v2", "mask_test_v2", "V2"),
    ],
)
def test_version_is_told_by_the_folders(build: Build, name: str, train: str, test: str, release: str) -> None:
    root = build(name, train, test)
    for given in (root, root.parent):
        dataset = load_dataset("msmt17", given)
        assert dataset.root == root
        assert dataset.options["release"] == release
        assert f"MSMT17 {release}" in dataset.protocol().notes
        assert dataset.samples[0].sample_id.startswith(f"{train}/0000/")


def test_two_versions_in_one_folder_are_ambiguous(build: Build) -> None:
    build("MSMT17_V1")
    parent = build("MSMT17_V2", "mask_train_v2", "mask_test_v2").parent
    with pytest.raises(UserError, match=r"more than once, .*MSMT17_V2 \(V2\) and .*MSMT17_V1 \(V1\); name the one"):
        load_dataset("msmt17", parent)


@pytest.mark.parametrize(
    ("list_train", "message"),
    [
        ("0000/0000_000_01_0303morning_0008_0.jpg", r"list_train\.txt, line 1: expected 'path label'"),
        ("0000/0000_000_01_0303morning_0008_0.jpg zero", r"line 1: expected 'path label'"),
        ("\n\n", r"list_train\.txt: empty"),
        ("0009/gone.jpg 9", r"names 0009/gone\.jpg, which is not in .*train"),
        ("0000/0000_000_01_0303morning_0008_0.jpg 0\n0000/0000.jpg 0", r"0000\.jpg: expected a name like"),
        (None, r"list_train\.txt: no such file"),
    ],
)
def test_a_broken_list_is_named(build: Build, list_train: str | None, message: str) -> None:
    root = build()
    if list_train is None:
        (root / "list_train.txt").unlink()
    else:
        (root / "list_train.txt").write_text(list_train)
    with pytest.raises(UserError, match=message):
        load_dataset("msmt17", root)


def test_wrong_layout(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(UserError, match=r"not an MSMT17 folder; expected train/ and test/ \(V1\).*found train/$"):
        load_dataset("msmt17", tmp_path)
