"""SYSU-MM01 in miniature: five people, of whom two are in the test set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from reid.datasets import load_dataset
from reid.errors import UserError
from reid.modality import Modality
from reid.protocol import Cmc, Drop
from reid.sample import Split

savemat = pytest.importorskip("scipy.io").savemat

IDS = {"train": [2, 1], "val": [4], "test": [11, 3]}
# (camera, person) -> images. Person 11 was never seen by cameras 4 and 5, nor person 3 by camera 6.
TEST_IMAGES = {
    (1, 3): 12,
    (1, 11): 11,
    (2, 3): 10,
    (2, 11): 10,
    (3, 3): 2,
    (3, 11): 3,
    (4, 3): 13,
    (5, 3): 10,
    (6, 11): 2,
}
PEOPLE = 12
TRIALS = 11


@pytest.fixture
def root(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    folder = tmp_path / "SYSU-MM01"
    for camera in range(1, 7):
        for person in (1, 2, 4):
            write_image(folder / f"cam{camera}" / f"{person:04d}" / "0001.jpg")
    for (camera, person), images in TEST_IMAGES.items():
        for number in range(1, images + 1):
            write_image(folder / f"cam{camera}" / f"{person:04d}" / f"{number:04d}.jpg")
    (folder / "exp").mkdir()
    for name, ids in IDS.items():
        (folder / "exp" / f"{name}_id.txt").write_text(",".join(map(str, ids)) + "\n")
    return folder


def write_permutations(path: Path, images: dict[tuple[int, int], int]) -> dict[tuple[int, int], NDArray[np.int64]]:
    """rand_perm_cam.mat as published: cell(6, 1) of cell(1, people) of [trials, images] permutations from 1."""
    rng = np.random.default_rng(5)
    orders = {key: np.stack([rng.permutation(n) + 1 for _ in range(TRIALS)]) for key, n in images.items()}
    cells = np.empty((6, 1), dtype=object)
    for camera in range(1, 7):
        people = np.empty((1, PEOPLE), dtype=object)
        for person in range(1, PEOPLE + 1):
            people[0, person - 1] = orders.get((camera, person), np.zeros((0, 0)))
        cells[camera - 1, 0] = people
    savemat(path, {"rand_perm_cam": cells})
    return orders


def test_samples(root: Path) -> None:
    dataset = load_dataset("sysu", root)
    train = dataset.select(Split.TRAIN)
    assert {s.person_id for s in train} == {"0001", "0002", "0004"}
    assert train[0].sample_id == "cam1/0001/0001.jpg"
    assert {s.person_id for s in dataset.select(Split.TEST)} == {"0003", "0011"}
    for s in dataset.samples:
        assert s.sample_id.startswith(f"cam{s.camera_id}/{s.person_id}/")
        assert s.modality is (Modality.IR if s.camera_id in ("3", "6") else Modality.RGB)
    assert len(dataset.select(Split.TEST)) == sum(TEST_IMAGES.values())
    assert load_dataset("sysu", root.parent).samples == dataset.samples


def test_validation_people_are_trained_on_unless_held_out(root: Path) -> None:
    merged, apart = load_dataset("sysu", root), load_dataset("sysu", root, {"val": "held-out"})
    assert not merged.select(Split.VAL)
    assert {s.person_id for s in apart.select(Split.VAL)} == {"0004"}
    assert {s.person_id for s in apart.select(Split.TRAIN)} == {"0001", "0002"}
    figures = [{c.what: (c.found, c.published) for c in d.counts} for d in (merged, apart)]
    assert figures[0]["train people (with val)"] == (3, 395)
    assert figures[1]["train people"] == (2, 296)
    assert figures[1]["validation people"] == (1, 99)
    for found in figures:
        assert found["train+val RGB images"] == (12, 22_258)
        assert found["train+val infrared images"] == (6, 11_909)
        assert found["test people"] == (2, 96)
        assert [found[f"test images of camera {c}"][1] for c in range(1, 7)] == [1374, 1565, 1883, 1918, 1918, 1920]
        assert found["test images of camera 3"][0] == 5


def test_agw_protocols(root: Path) -> None:
    dataset = load_dataset("sysu", root)
    assert [p.name for p in dataset.protocols] == [
        "sysu-all-single-agw",
        "sysu-all-multi-agw",
        "sysu-indoor-single-agw",
        "sysu-indoor-multi-agw",
    ]
    assert dataset.protocol().name == "sysu-all-single-agw"
    for protocol in dataset.protocols:
        cameras = ("1", "2") if "indoor" in protocol.name else ("1", "2", "4", "5")
        assert (protocol.query.modalities, protocol.query.cameras) == ((Modality.IR,), ("3", "6"))
        assert (protocol.gallery.modalities, protocol.gallery.cameras) == ((Modality.RGB,), cameras)
        assert protocol.query.splits == protocol.gallery.splits == (Split.TEST,)
        assert (protocol.drop, protocol.cmc, protocol.trials) == (Drop.SAME_LOCATION, Cmc.IDENTITY, 10)
        assert protocol.sampling is not None
        assert protocol.sampling.cameras == cameras
        assert protocol.sampling.per_camera == (10 if "multi" in protocol.name else 1)
        assert protocol.sampling.side == "gallery"
        location = dict(protocol.locations)
        assert location["2"] == location["3"]
        assert len({location[c] for c in "123456"}) == 5
        assert ("AGW itself has single-shot only" in " ".join(protocol.notes)) == ("multi" in protocol.name)


def test_without_permutations_the_official_protocols_are_missing_and_a_warning_says_how_to_get_them(root: Path) -> None:
    dataset = load_dataset("sysu", root)
    (warning,) = dataset.warnings
    assert "rand_perm_cam.mat" in warning
    assert "github.com/wuancong/SYSU-MM01" in warning
    assert str(root / "exp") in warning


@pytest.mark.parametrize("place", ["exp/rand_perm_cam.mat", "rand_perm_cam.mat", "option"])
def test_official_galleries_are_the_published_permutations(root: Path, tmp_path: Path, place: str) -> None:
    path = tmp_path / "elsewhere.mat" if place == "option" else root / place
    orders = write_permutations(path, TEST_IMAGES)
    dataset = load_dataset("sysu", root, {"permutations": str(path)} if place == "option" else {})
    assert not dataset.warnings
    assert [p.name for p in dataset.protocols[4:]] == [
        "sysu-all-single-official",
        "sysu-all-multi-official",
        "sysu-indoor-single-official",
        "sysu-indoor-multi-official",
    ]
    assert dataset.protocol().name == "sysu-all-single-agw"
    for protocol in dataset.protocols[4:]:
        cameras = (1, 2) if "indoor" in protocol.name else (1, 2, 4, 5)
        shots = 10 if "multi" in protocol.name else 1
        assert protocol.sampling is None
        assert protocol.galleries is not None
        assert len(protocol.galleries) == protocol.trials == 10
        for trial, gallery in enumerate(protocol.galleries):
            # get_testing_set.m: cameras in order, people in order, rand_perm_cam{cam}{id}(trial, 1:shots).
            expected = [
                f"cam{camera}/{person:04d}/{number:04d}.jpg"
                for camera in cameras
                for person in (3, 11)
                if (camera, person) in orders
                for number in orders[camera, person][trial, :shots]
            ]
            assert list(gallery) == expected
        assert any("official" in note and "rows 1..10" in note for note in protocol.notes)
    known = {s.sample_id for s in dataset.samples}
    assert all(set(gallery) <= known for p in dataset.protocols[4:] for gallery in p.galleries or ())


@pytest.mark.parametrize("change", [+1, -1])
def test_permutations_of_another_copy_are_not_used(root: Path, tmp_path: Path, change: int) -> None:
    images = {**TEST_IMAGES, (4, 3): TEST_IMAGES[4, 3] + change}
    write_permutations(root / "exp" / "rand_perm_cam.mat", images)
    dataset = load_dataset("sysu", root)
    assert len(dataset.protocols) == 4
    assert f"10 trials of {13 + change} images of person 0003 in camera 4, found 13" in dataset.warnings[0]
    with pytest.raises(UserError, match="person 0003 in camera 4"):
        load_dataset("sysu", root, {"permutations": str(root / "exp" / "rand_perm_cam.mat")})


def test_a_file_without_permutations_is_refused(root: Path, tmp_path: Path) -> None:
    savemat(tmp_path / "other.mat", {"id": np.arange(3)})
    with pytest.raises(UserError, match=r"other\.mat: expected a variable 'rand_perm_cam'"):
        load_dataset("sysu", root, {"permutations": str(tmp_path / "other.mat")})
    with pytest.raises(UserError, match=r"option permutations=.*gone\.mat: no such file"):
        load_dataset("sysu", root, {"permutations": str(tmp_path / "gone.mat")})


def test_ids_may_come_from_mat_files(root: Path) -> None:
    expected = load_dataset("sysu", root).samples
    for name, ids in IDS.items():
        (root / "exp" / f"{name}_id.txt").unlink()
        savemat(root / "exp" / f"{name}_id.mat", {"id": np.array([ids], dtype=np.uint16)})
    assert load_dataset("sysu", root).samples == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, r"neither test_id\.txt nor test_id\.mat is there"), ("3,elf", "expected person numbers separated by")],
)
def test_broken_ids(root: Path, text: str | None, message: str) -> None:
    file = root / "exp" / "test_id.txt"
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(UserError, match=message):
        load_dataset("sysu", root)


def test_wrong_layout(tmp_path: Path) -> None:
    (tmp_path / "cam1").mkdir()
    with pytest.raises(UserError, match=r"not a SYSU-MM01 folder; expected cam1, .*exp in it .*found cam1/$"):
        load_dataset("sysu", tmp_path)
