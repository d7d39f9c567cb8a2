"""CUHK03 in miniature: the folders in circulation, and MATLAB files of the structure that the authors published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from reid.datasets import load_dataset
from reid.errors import UserError
from reid.protocol import Drop
from reid.sample import Split

h5py = pytest.importorskip("h5py")
savemat = pytest.importorskip("scipy.io").savemat

PAIRS = 5
# (pair, person, place 1..10): two people in pair 1, one in pair 2, not every place is filled.
PLACES = [(1, 1, 1), (1, 1, 2), (1, 1, 6), (1, 2, 1), (1, 2, 7), (1, 2, 10), (2, 1, 5), (2, 1, 6), (2, 1, 8)]
LABELS = {(1, 1): 1, (1, 2): 2, (2, 1): 844}
PARTS = {"train": [1, 2, 3], "query": [4, 8], "gallery": [5, 6, 7, 9]}


def name(pair: int, person: int, place: int) -> str:
    return f"{pair}_{person:03d}_{1 if place <= 5 else 2}_{place:02d}.png"


def image(pair: int, person: int, place: int) -> NDArray[np.uint8]:
    """[H, W, 3], not square, so that a transposition shows."""
    seed = 100 * pair + 10 * person + place
    return np.random.default_rng(seed).integers(0, 256, (40 + place, 20, 3), dtype=np.uint8)


def write_mat(path: Path, kinds: tuple[str, ...] = ("labeled", "detected")) -> None:
    """As MATLAB -v7.3 writes it: cells are arrays of references, every array is transposed, empties are uint64 [2]."""
    with h5py.File(path, "w") as file:
        cells = file.create_group("#refs#")

        def reference(data: NDArray[np.generic]) -> object:
            return cells.create_dataset(str(len(cells)), data=data).ref

        for kind in kinds:
            top = file.create_dataset(kind, (1, PAIRS), dtype=h5py.ref_dtype)
            for pair in range(1, PAIRS + 1):
                people = max([person for p, person, _ in PLACES if p == pair], default=1)
                cell = cells.create_dataset(str(len(cells)), (10, people), dtype=h5py.ref_dtype)
                for place in range(1, 11):
                    for person in range(1, people + 1):
                        filled = (pair, person, place) in PLACES
                        pixels = image(pair, person, place).T if filled else np.zeros(2, np.uint64)
                        cell[place - 1, person - 1] = reference(pixels)
                top[0, pair - 1] = cell.ref


def write_config(path: Path, **changes: object) -> None:
    variables: dict[str, object] = {
        "filelist": np.array([[name(*place)] for place in PLACES], dtype=object),
        "labels": np.array([[LABELS[pair, person]] for pair, person, _ in PLACES], dtype=np.float64),
        **{f"{part}_idx": np.array([places], dtype=np.uint16).T for part, places in PARTS.items()},
        **changes,
    }
    savemat(path, {key: value for key, value in variables.items() if value is not None})


@pytest.fixture
def mat_root(tmp_path: Path) -> Path:
    root = tmp_path / "cuhk03"
    (root / "cuhk03_release").mkdir(parents=True)
    write_mat(root / "cuhk03_release" / "cuhk-03.mat")
    for boxes in ("labeled", "detected"):
        write_config(root / f"cuhk03_new_protocol_config_{boxes}.mat")
    return root


@pytest.fixture
def np_root(tmp_path: Path) -> Path:
    root = tmp_path / "np" / "cuhk03-np"
    folders = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
    for part, places in PARTS.items():
        for boxes in ("labeled", "detected"):
            (root / boxes / folders[part]).mkdir(parents=True)
            for place in places:
                Image.fromarray(image(*PLACES[place - 1])).save(root / boxes / folders[part] / name(*PLACES[place - 1]))
    return root


def test_folders(np_root: Path) -> None:
    dataset = load_dataset("cuhk03", np_root)
    assert [(s.sample_id, s.person_id, s.camera_id, s.split) for s in dataset.samples] == [
        ("labeled/bounding_box_train/1_001_1_01.png", "1_001", "1", Split.TRAIN),
        ("labeled/bounding_box_train/1_001_1_02.png", "1_001", "1", Split.TRAIN),
        ("labeled/bounding_box_train/1_001_2_06.png", "1_001", "2", Split.TRAIN),
        ("labeled/query/1_002_1_01.png", "1_002", "1", Split.QUERY),
        ("labeled/query/2_001_2_06.png", "2_001", "2", Split.QUERY),
        ("labeled/bounding_box_test/1_002_2_07.png", "1_002", "2", Split.GALLERY),
        ("labeled/bounding_box_test/1_002_2_10.png", "1_002", "2", Split.GALLERY),
        ("labeled/bounding_box_test/2_001_1_05.png", "2_001", "1", Split.GALLERY),
        ("labeled/bounding_box_test/2_001_2_08.png", "2_001", "2", Split.GALLERY),
    ]
    assert load_dataset("cuhk03", np_root.parent).samples == dataset.samples
    assert load_dataset("cuhk03", np_root, {"boxes": "detected"}).samples[0].sample_id.startswith("detected/")


def test_folders_with_market_names(tmp_path: Path, write_image: Callable[..., Path]) -> None:
    for part, person, camera in (("bounding_box_train", 1, 1), ("query", 768, 2), ("bounding_box_test", 768, 1)):
        write_image(tmp_path / "labeled" / part / f"{person:04d}_c{camera}_1.png")
    rows = [(s.person_id, s.camera_id) for s in load_dataset("cuhk03", tmp_path).samples]
    assert rows == [("0001", "1"), ("0768", "2"), ("0768", "1")]


def test_mat_gives_the_same_people_cameras_and_splits_as_the_folders(mat_root: Path, np_root: Path) -> None:
    def rows(root: Path) -> list[tuple[str, str, str | None, Split]]:
        return [
            (Path(s.sample_id).name, s.person_id, s.camera_id, s.split) for s in load_dataset("cuhk03", root).samples
        ]

    assert rows(mat_root) == rows(np_root)
    assert [c.found for c in load_dataset("cuhk03", mat_root).counts] == [3, 1, 2, 4, 2]
    assert load_dataset("cuhk03", mat_root.parent).samples == load_dataset("cuhk03", mat_root).samples


def test_extracted_images_are_the_matrices_upright(mat_root: Path) -> None:
    dataset = load_dataset("cuhk03", mat_root)
    assert dataset.samples[0].sample_id == "cuhk03_release/images_labeled/1_001_1_01.png"
    folder = mat_root / "cuhk03_release" / "images_labeled"
    assert sorted(p.name for p in folder.iterdir()) == sorted(name(*place) for place in PLACES)
    for place in PLACES:
        with Image.open(folder / name(*place)) as png:
            np.testing.assert_array_equal(np.asarray(png), image(*place))


def test_images_are_extracted_once_and_only_the_boxes_asked_for(mat_root: Path) -> None:
    release = mat_root / "cuhk03_release"
    first = load_dataset("cuhk03", mat_root)
    assert sorted(p.name for p in release.iterdir()) == ["cuhk-03.mat", "images_labeled"]
    (release / "cuhk-03.mat").write_bytes(b"no longer needed")
    assert load_dataset("cuhk03", mat_root).samples == first.samples


def test_an_interrupted_extraction_starts_again(mat_root: Path) -> None:
    release = mat_root / "cuhk03_release"
    (release / "images_labeled.partial").mkdir()
    (release / "images_labeled.partial" / "9_999_1_01.png").write_bytes(b"half an ima")
    load_dataset("cuhk03", mat_root)
    assert not (release / "images_labeled.partial").exists()
    assert not (release / "images_labeled" / "9_999_1_01.png").exists()


@pytest.mark.parametrize("what", ["garbage", "no boxes", "wrong cells"])
def test_a_file_that_is_not_cuhk03_leaves_nothing_behind(mat_root: Path, what: str) -> None:
    mat = mat_root / "cuhk03_release" / "cuhk-03.mat"
    if what == "garbage":
        mat.write_bytes(b"garbage")
    elif what == "no boxes":
        write_mat(mat, ("detected",))
    else:
        with h5py.File(mat, "w") as file:
            file["labeled"] = np.zeros((1, 5))
    with pytest.raises(UserError, match=r"cuhk-03\.mat: cannot extract its 'labeled' images") as error:
        load_dataset("cuhk03", mat_root)
    assert "\n" not in str(error.value)
    assert [p.name for p in mat.parent.iterdir()] == ["cuhk-03.mat"]


@pytest.mark.parametrize(
    "changes",
    [
        {"query_idx": None},
        {"labels": np.ones((9, 1))},
        {"labels": np.arange(9.0)},
        {"gallery_idx": np.array([[10]])},
        {"gallery_idx": np.array([[0]])},
    ],
)
def test_a_protocol_that_does_not_fit_is_refused(mat_root: Path, changes: dict[str, object]) -> None:
    write_config(mat_root / "cuhk03_new_protocol_config_labeled.mat", **changes)
    with pytest.raises(UserError, match=r"config_labeled\.mat: not a CUHK03 protocol file"):
        load_dataset("cuhk03", mat_root)


def test_an_image_of_the_protocol_that_is_not_there_is_named(mat_root: Path) -> None:
    load_dataset("cuhk03", mat_root)
    (mat_root / "cuhk03_release" / "images_labeled" / "1_002_2_07.png").unlink()
    with pytest.raises(UserError, match=r"names 1_002_2_07\.png and 0 more .* remove .*images_labeled to extract"):
        load_dataset("cuhk03", mat_root)


def test_missing_protocol_file_says_where_to_get_it(mat_root: Path) -> None:
    (mat_root / "cuhk03_new_protocol_config_labeled.mat").unlink()
    with pytest.raises(UserError, match=r"cuhk03_new_protocol_config_labeled\.mat is missing; .*person-re-ranking"):
        load_dataset("cuhk03", mat_root)


def test_wrong_layout(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not a CUHK03 folder; .*found an empty folder"):
        load_dataset("cuhk03", tmp_path)


@pytest.mark.parametrize(("boxes", "train", "gallery"), [("labeled", 7_368, 5_328), ("detected", 7_365, 5_332)])
def test_published_figures_and_rule(np_root: Path, boxes: str, train: int, gallery: int) -> None:
    dataset = load_dataset("cuhk03", np_root, {"boxes": boxes})
    assert [c.published for c in dataset.counts] == [train, 767, 1_400, gallery, 700]
    assert dataset.protocol().drop is Drop.SAME_CAMERA
    assert any(f"{boxes} boxes" in note for note in dataset.protocol().notes)
