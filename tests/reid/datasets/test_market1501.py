"""Market-1501 in miniature."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reid.datasets import load_dataset
from reid.errors import UserError
from reid.modality import Modality
from reid.protocol import Cmc, Drop
from reid.sample import Split

FILES = [
    "bounding_box_train/0007_c3s1_000451_03.jpg",
    "bounding_box_train/0002_c1s1_000451_03.jpg",
    "query/0001_c1s1_001051_00.jpg",
    "bounding_box_test/0001_c6s1_009601_00.jpg",
    "bounding_box_test/0000_c2s1_000151_01.jpg",
    "bounding_box_test/-1_c4s1_000401_03.jpg",
    "bounding_box_test/-1_c5s1_000401_03.jpg",
]


@pytest.fixture
def root(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    # The folder's name would satisfy a pattern that is searched in the whole path.
    folder = tmp_path / "9999_c9_data" / "Market-1501-v15.09.15"
    for name in FILES:
        write_image(folder / name)
    (folder / "bounding_box_test" / "Thumbs.db").write_bytes(b"x")
    (folder / "bounding_box_test" / "._0001_c6s1_009601_00.jpg").write_bytes(b"x")
    return folder


def test_people_cameras_and_splits_come_from_base_names(root: Path) -> None:
    dataset = load_dataset("market1501", root)
    rows = [(s.sample_id, s.person_id, s.camera_id, s.split) for s in dataset.samples]
    assert rows == [
        ("bounding_box_train/0002_c1s1_000451_03.jpg", "0002", "1", Split.TRAIN),
        ("bounding_box_train/0007_c3s1_000451_03.jpg", "0007", "3", Split.TRAIN),
        ("query/0001_c1s1_001051_00.jpg", "0001", "1", Split.QUERY),
        ("bounding_box_test/0000_c2s1_000151_01.jpg", "0000", "2", Split.GALLERY),
        ("bounding_box_test/0001_c6s1_009601_00.jpg", "0001", "6", Split.GALLERY),
    ]
    assert all(s.image == root / s.sample_id and s.image.is_file() for s in dataset.samples)
    assert {s.modality for s in dataset.samples} == {Modality.RGB}


def test_junk_is_dropped_and_counted_and_published_figures_stand_beside(root: Path) -> None:
    dataset = load_dataset("market1501", root)
    counts = {count.what: (count.found, count.published) for count in dataset.counts}
    assert counts["junk images left out"][0] == 2
    assert counts["train images"] == (2, 12_936)
    assert counts["train people"] == (2, 751)
    assert counts["query images"] == (1, 3_368)
    assert counts["query people"] == (1, 750)
    assert counts["gallery images"] == (2, 15_913)
    assert counts["cameras"] == (4, 6)
    assert any("2 junk images" in note for note in dataset.protocol().notes)


def test_protocol_is_rule_m(root: Path) -> None:
    protocol = load_dataset("market1501", root).protocol()
    assert (protocol.name, protocol.drop, protocol.cmc) == ("market1501", Drop.SAME_CAMERA, Cmc.IMAGE)
    assert (protocol.query.splits, protocol.gallery.splits) == ((Split.QUERY,), (Split.GALLERY,))


def test_distractors_join_the_gallery_on_request(root: Path, write_image: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match="distractors=yes, but there is no images/"):
        load_dataset("market1501", root, {"distractors": "yes"})
    for number in range(3):
        write_image(root / "images" / f"0000_c1s1_00000{number}_00.jpg")
    assert len(load_dataset("market1501", root).samples) == 5
    dataset = load_dataset("market1501", root, {"distractors": "yes"})
    extra = [s for s in dataset.samples if s.sample_id.startswith("images/")]
    assert [(s.person_id, s.split) for s in extra] == [("0000", Split.GALLERY)] * 3
    assert any("3 distractors" in note for note in dataset.protocol().notes)
    counts = {count.what: count.found for count in dataset.counts}
    assert (counts["distractors"], counts["gallery images"]) == (3, 2)


def test_parent_folder_gives_the_same_data_set(root: Path) -> None:
    own, parent = load_dataset("market1501", root), load_dataset("market1501", root.parent)
    assert own.samples == parent.samples
    assert own.root == parent.root == root


def test_wrong_layout_says_what_is_missing_and_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "bounding_box_train").mkdir()
    with pytest.raises(UserError, match=r"expected bounding_box_train, query, .*found bounding_box_train/$") as error:
        load_dataset("market1501", tmp_path)
    assert "\n" not in str(error.value)


def test_a_name_without_a_camera_is_refused(root: Path, write_image: Callable[..., Path]) -> None:
    write_image(root / "query" / "somebody.jpg")
    with pytest.raises(UserError, match=r"somebody\.jpg: expected a name like"):
        load_dataset("market1501", root)


def test_an_empty_split_is_refused(root: Path) -> None:
    (root / "query" / "0001_c1s1_001051_00.jpg").unlink()
    with pytest.raises(UserError, match="query: no images in it"):
        load_dataset("market1501", root)
