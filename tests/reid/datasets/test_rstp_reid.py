"""RSTPReid in miniature, with its two known defects."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reid.datasets import load_dataset
from reid.datasets.check import check_dataset
from reid.modality import Modality
from reid.sample import Split


def entries(people: dict[str, range], views: int = 2) -> list[dict[str, Any]]:
    return [
        {
            "id": person,
            "img_path": f"{person:04d}_c{5 + view}_{view:04d}.png",
            "captions": [f"person {person} seen {view}", f"view {view} of {person}"],
            "split": split,
        }
        for split, chosen in people.items()
        for person in chosen
        for view in range(views)
    ]


@pytest.fixture
def write(tmp_path: Path, write_image: Callable[..., Path]) -> Callable[[list[dict[str, Any]]], Path]:
    """Write the list and its first image, which is all that the loader looks for."""

    def inner(listed: list[dict[str, Any]]) -> Path:
        write_image(tmp_path / "RSTPReid" / "imgs" / listed[0]["img_path"])
        (tmp_path / "RSTPReid" / "data_captions.json").write_text(json.dumps(listed))
        return tmp_path

    return inner


SMALL = {"train": range(3), "val": range(3, 4), "test": range(4, 6)}


def test_cameras_and_captions(write: Callable[[list[dict[str, Any]]], Path], write_image: Callable[..., Path]) -> None:
    listed = entries(SMALL)
    root = write(listed)
    for e in listed:
        write_image(root / "RSTPReid" / "imgs" / e["img_path"])
    dataset = load_dataset("rstp-reid", root)
    first = dataset.samples[0]
    assert (first.sample_id, first.person_id, first.camera_id) == ("imgs/0000_c5_0000.png", "0", "5")
    assert {s.camera_id for s in dataset.select(modalities=[Modality.RGB])} == {"5", "6"}
    assert {s.camera_id for s in dataset.select(modalities=[Modality.TEXT])} == {None}
    assert len(dataset.select(Split.TEST, modalities=[Modality.TEXT])) == 8
    assert not dataset.warnings
    assert not check_dataset(dataset, progress=False).broken


def test_published_figures(write: Callable[[list[dict[str, Any]]], Path]) -> None:
    right = entries({"train": range(3701), "val": range(3701, 3901), "test": range(3901, 4101)}, views=5)
    dataset = load_dataset("rstp-reid", write(right))
    assert not any(c.differs for c in dataset.counts)
    assert {c.what: c.found for c in dataset.counts} == {
        "train images": 18_505,
        "train people": 3_701,
        "train captions": 37_010,
        "val images": 1_000,
        "val people": 200,
        "val captions": 2_000,
        "test images": 1_000,
        "test people": 200,
        "test captions": 2_000,
    }
    assert not dataset.warnings


def test_the_early_split_is_recognised(write: Callable[[list[dict[str, Any]]], Path]) -> None:
    wrong = entries({"train": range(3901), "val": range(3901, 4001), "test": range(4001, 4101)}, views=1)
    dataset = load_dataset("rstp-reid", write(wrong))
    (warning,) = dataset.warnings
    assert "3,901/100/100" in warning
    assert "3,701/200/200" in warning
    assert "NjtechCVLab/RSTPReid-Dataset issue 2" in warning


def test_captions_shared_by_people_are_counted(write: Callable[[list[dict[str, Any]]], Path]) -> None:
    listed = entries(SMALL)
    listed[0]["captions"][0] = listed[-1]["captions"][1] = listed[-2]["captions"][0] = "a man in black"
    # The same sentence twice for one person is no defect.
    listed[2]["captions"] = listed[3]["captions"] = ["one sentence", "one sentence"]
    dataset = load_dataset("rstp-reid", write(listed))
    (warning,) = dataset.warnings
    assert "1 captions describe people of different ids (2 test queries among them)" in warning
    assert "issue 5" in warning
    assert sum(s.text == "a man in black" for s in dataset.samples) == 3, "they are kept"
