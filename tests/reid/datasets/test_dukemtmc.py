"""DukeMTMC-reID in miniature."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reid.datasets import find_kind, load_dataset
from reid.errors import UserError
from reid.protocol import Drop
from reid.sample import Split


@pytest.fixture
def root(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    folder = tmp_path / "DukeMTMC-reID"
    for name in (
        "bounding_box_train/0001_c2_f0046182.jpg",
        "query/0005_c2_f0046985.jpg",
        "bounding_box_test/0005_c8_f0046985.jpg",
        "bounding_box_test/0006_c1_f0046985.jpg",
    ):
        write_image(folder / name)
    return folder


def test_samples_and_rule(root: Path) -> None:
    dataset = load_dataset("dukemtmc", root.parent)
    assert [(s.sample_id, s.person_id, s.camera_id, s.split) for s in dataset.samples] == [
        ("bounding_box_train/0001_c2_f0046182.jpg", "0001", "2", Split.TRAIN),
        ("query/0005_c2_f0046985.jpg", "0005", "2", Split.QUERY),
        ("bounding_box_test/0005_c8_f0046985.jpg", "0005", "8", Split.GALLERY),
        ("bounding_box_test/0006_c1_f0046985.jpg", "0006", "1", Split.GALLERY),
    ]
    assert dataset.protocol().drop is Drop.SAME_CAMERA
    published = {count.what: count.published for count in dataset.counts}
    assert published == {
        "train images": 16_522,
        "train people": 702,
        "query images": 2_228,
        "query people": 702,
        "gallery images": 17_661,
        "cameras": 8,
    }


def test_everyone_who_opens_it_is_told_that_it_was_withdrawn(root: Path) -> None:
    (warning,) = load_dataset("dukemtmc", root).warnings
    assert "withdrawn" in warning
    assert "2019" in warning


def test_there_is_no_default_path_and_no_option_for_one(tmp_path: Path) -> None:
    assert find_kind("dukemtmc").options == {}
    with pytest.raises(UserError, match="not a DukeMTMC-reID folder"):
        load_dataset("dukemtmc", tmp_path)
