"""PKU-Reid: its layout in miniature, and the real one where it is at hand."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from reid.dataset import Dataset
from reid.datasets import load_dataset
from reid.datasets.check import check_dataset
from reid.errors import UserError
from reid.modality import Modality
from reid.sample import Split
from reid.table import SampleTable
from reid.trials import Trial, resolve

REAL = Path(os.environ.get("REID_PKU_DIR", Path(__file__).parents[4] / "shared" / "data" / "pku-reid"))
TRAIN, TEST = ("001", "003", "009", "011"), ("007", "008")


@pytest.fixture
def root(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    folder = tmp_path / "pku-reid"
    for person in (*TRAIN, *TEST):
        for camera in (1, 2):
            for direction in (1, 5):
                write_image(folder / "images" / f"{person}_{camera:02d}_{direction}.png")
    (folder / "split.json").write_text(json.dumps({"train": TRAIN, "test": TEST}))
    told = {p: {"captions": [f"{p} once", f"{p} twice"], "attributes": {"hair": "short"}} for p in (*TEST, *TRAIN)}
    (folder / "captions.json").write_text(json.dumps(told))
    return folder


def scored(dataset: Dataset, name: str) -> tuple[SampleTable, Trial]:
    table = SampleTable.of(dataset.samples)
    (trial,) = resolve(dataset.protocol(name), table)
    return table, trial


def test_layout(root: Path) -> None:
    dataset = load_dataset("pku-reid", root)
    by_id = {s.sample_id: s for s in dataset.samples}
    photo, caption = by_id["images/007_02_5.png"], by_id["007#1"]
    assert (photo.person_id, photo.camera_id, photo.split, photo.source_id) == (
        "007",
        "2",
        Split.TEST,
        "images/007_02_5.png",
    )
    assert (caption.person_id, caption.camera_id, caption.split, caption.text, caption.source_id) == (
        "007",
        None,
        Split.TEST,
        "007 twice",
        None,
    )
    assert by_id["001#0"].split is Split.TRAIN
    assert {s.person_id for s in dataset.select(Split.TRAIN)} == set(TRAIN)
    assert load_dataset("pku-reid", root.parent).samples == dataset.samples
    assert not check_dataset(dataset, progress=False).broken


def test_camera_2_asks_camera_1(root: Path) -> None:
    dataset = load_dataset("pku-reid", root)
    assert [p.name for p in dataset.protocols] == ["pku-reid-rgb", "pku-reid-text"]
    table, trial = scored(dataset, "pku-reid-rgb")
    assert {table.sample_id[row] for row in trial.query} == {f"images/{p}_02_{d}.png" for p in TEST for d in (1, 5)}
    gallery = {f"images/{p}_01_{d}.png" for p in TEST for d in (1, 5)}
    assert {table.sample_id[row] for row in trial.gallery} == gallery
    table, trial = scored(dataset, "pku-reid-text")
    assert [table.sample_id[row] for row in trial.query] == ["007#0", "007#1", "008#0", "008#1"]
    assert {table.sample_id[row] for row in trial.gallery} == gallery


def derive(root: Path, out: Path, modality: str, suffix: str = ".png") -> Path:
    for image in (root / "images").iterdir():
        target = (out / f"images-{modality}" / image.name).with_suffix(suffix)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image, target)
    return out / f"images-{modality}"


def test_derived_views_beside_the_images(root: Path) -> None:
    derive(root, root, "ir")
    derive(root, root, "sketch")
    dataset = load_dataset("pku-reid", root)
    names = ["pku-reid-rgb", "pku-reid-text", "pku-reid-ir", "pku-reid-sketch"]
    assert [p.name for p in dataset.protocols] == names
    view = next(s for s in dataset.samples if s.sample_id == "images-ir/007_02_5.png")
    assert (view.modality, view.person_id, view.camera_id, view.split, view.source_id) == (
        Modality.IR,
        "007",
        "2",
        Split.TEST,
        "images/007_02_5.png",
    )
    table, trial = scored(dataset, "pku-reid-sketch")
    asked = {f"images-sketch/{p}_02_{d}.png" for p in TEST for d in (1, 5)}
    assert {table.sample_id[row] for row in trial.query} == asked
    assert {table.sample_id[row] for row in trial.gallery} == {f"images/{p}_01_{d}.png" for p in TEST for d in (1, 5)}


def test_derived_views_elsewhere(root: Path, tmp_path: Path) -> None:
    folder = derive(root, tmp_path / "out", "ir", ".jpg")
    for named in (folder, tmp_path / "out"):
        dataset = load_dataset("pku-reid", root, {"ir": str(named)})
        assert [p.name for p in dataset.protocols] == ["pku-reid-rgb", "pku-reid-text", "pku-reid-ir"]
        view = dataset.select(Split.TEST, modalities=[Modality.IR])[0]
        assert (view.sample_id, view.image) == ("images-ir/007_01_1.jpg", folder / "007_01_1.jpg")
    with pytest.raises(UserError, match="option sketch=nowhere: no such folder"):
        load_dataset("pku-reid", root, {"sketch": "nowhere"})
    (folder / "007_01_1.jpg").unlink()
    (warning,) = load_dataset("pku-reid", root, {"ir": str(folder)}).warnings
    assert "1 of 24 photographs have no ir view there, the first is 007_01_1.png" in warning


def test_people_held_out(root: Path) -> None:
    dataset = load_dataset("pku-reid", root, {"val_people": "2"})
    val, train = ({s.person_id for s in dataset.select(split)} for split in (Split.VAL, Split.TRAIN))
    assert (len(val), val | train, val & train) == (2, set(TRAIN), set())
    assert {s.modality for s in dataset.select(Split.VAL)} == {Modality.RGB, Modality.TEXT}
    assert {s.camera_id for s in dataset.select(Split.VAL, modalities=[Modality.RGB])} == {"1", "2"}
    assert next(c.found for c in dataset.counts if c.what == "train people") == 4


def test_wrong_layouts(root: Path) -> None:
    split = root / "split.json"
    for raw, message in (
        ("[1]", "expected a JSON object, found list"),
        ("{", "not a JSON file"),
        ('{"train": ["001"]}', "expected lists of people 'train' and 'test', found train"),
        ('{"train": ["001"], "test": ["001"]}', "person 001 is in both train and test"),
    ):
        split.write_text(raw)
        with pytest.raises(UserError, match=rf"split\.json: {message}"):
            load_dataset("pku-reid", root)
    split.write_text(json.dumps({"train": TRAIN, "test": TEST[:1]}))
    with pytest.raises(UserError, match=r"008_01_1\.png: person 008 is not in split\.json"):
        load_dataset("pku-reid", root)
    split.write_text(json.dumps({"train": TRAIN, "test": TEST}))
    (root / "captions.json").write_text('{"999": {"captions": ["x"]}}')
    with pytest.raises(UserError, match=r"captions\.json: person 999 is not in split\.json"):
        load_dataset("pku-reid", root)
    (root / "captions.json").write_text('{"007": ["x"]}')
    with pytest.raises(UserError, match=r"captions\.json: person 007: expected a list of sentences"):
        load_dataset("pku-reid", root)
    (root / "captions.json").write_text("{}")
    (root / "images" / "007_01_1.png").rename(root / "images" / "seven.png")
    with pytest.raises(UserError, match=r"seven\.png: expected a name like 001_02_5\.png"):
        load_dataset("pku-reid", root)
    with pytest.raises(UserError, match=r"not a PKU-Reid folder; expected images, captions\.json, split\.json in it"):
        load_dataset("pku-reid", root / "images")


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no PKU-Reid at {REAL}; set REID_PKU_DIR")
def test_the_real_one() -> None:
    dataset = load_dataset("pku-reid", REAL, {"val_people": "8"})
    assert not any(c.differs for c in dataset.counts)
    assert not check_dataset(dataset, images=False, progress=False).broken
    sizes = {split: len({s.person_id for s in dataset.select(split)}) for split in (Split.TRAIN, Split.VAL, Split.TEST)}
    assert sizes == {Split.TRAIN: 38, Split.VAL: 8, Split.TEST: 16}
    _, trial = scored(dataset, "pku-reid-rgb")
    assert (len(trial.query), len(trial.gallery)) == (128, 128)
    _, trial = scored(dataset, "pku-reid-text")
    assert (len(trial.query), len(trial.gallery)) == (32, 128)
