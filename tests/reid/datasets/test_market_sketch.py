"""Market-Sketch-1K in miniature: six artists, of whom not all drew everybody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reid.datasets import load_dataset
from reid.datasets.check import check_dataset
from reid.errors import UserError
from reid.modality import Modality
from reid.protocol import Drop, Fuse
from reid.sample import Split
from reid.table import SampleTable
from reid.trials import resolve

TRAIN, TEST = ("0002", "0007"), ("0001", "0003")


@pytest.fixture
def root(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    folder = tmp_path / "Market-Sketch-1K"
    for part, people in (("train", TRAIN), ("query", TEST)):
        for style in "ABCDEF":
            (folder / "sketch" / style / part).mkdir(parents=True)
        for person in people:
            for camera in (1, 4):
                write_image(folder / "photo" / part / f"{person}_c{camera}s1_000451_03.png")
            for style in "ABCDEF":
                # Artist F drew neither 0007 nor 0003.
                if style != "F" or person not in ("0007", "0003"):
                    write_image(folder / "sketch" / style / part / f"{person}_{style}.png")
    # A train photograph of somebody whom nobody drew.
    write_image(folder / "photo" / "train" / "0011_c2s1_000451_03.png")
    return folder


def test_layout(root: Path) -> None:
    dataset = load_dataset("market-sketch-1k", root)
    by_id = {s.sample_id: s for s in dataset.samples}
    sketch, photo = by_id["sketch/C/query/0003_C.png"], by_id["photo/query/0003_c4s1_000451_03.png"]
    assert (sketch.person_id, sketch.camera_id, sketch.split, sketch.modality) == (
        "0003",
        "C",
        Split.TEST,
        Modality.SKETCH,
    )
    assert (photo.person_id, photo.camera_id, photo.split, photo.modality) == ("0003", "4", Split.TEST, Modality.RGB)
    assert (photo.source_id, sketch.source_id) == (photo.sample_id, None)
    assert load_dataset("market-sketch-1k", root.parent).samples == dataset.samples
    assert not check_dataset(dataset, progress=False).broken


def test_photographs_of_people_without_a_sketch_are_left_out_of_train(root: Path) -> None:
    dataset = load_dataset("market-sketch-1k", root)
    assert {s.person_id for s in dataset.select(Split.TRAIN)} == set(TRAIN)
    counts = {c.what: (c.found, c.published) for c in dataset.counts}
    assert counts == {
        "people": (4, 996),
        "sketches": (22, 4_763),
        "train people": (2, 498),
        "test people": (2, 498),
        "train sketches of style F": (1, 497),
        "test sketches of style F": (1, 493),
        "train photos of people without a sketch, left out": (1, None),
    }


def test_every_sketch_is_a_query_or_all_of_a_person_are_one(root: Path) -> None:
    dataset = load_dataset("market-sketch-1k", root)
    single, multi = dataset.protocols
    assert (single.name, multi.name) == ("market-sketch-single-query", "market-sketch-multi-query")
    assert (single.drop, single.fuse, multi.drop, multi.fuse) == (Drop.NONE, Fuse.NONE, Drop.NONE, Fuse.PERSON)
    table = SampleTable.of(dataset.samples)
    (one,), (many,) = resolve(single, table), resolve(multi, table)
    assert (len(one.query), len(one.gallery)) == (11, 4)
    members = [
        [table.sample_id[row] for row in many.query_members[a:b]]
        for a, b in zip(many.query_offsets, many.query_offsets[1:], strict=False)
    ]
    assert sorted(sorted(m) for m in members) == [
        [f"sketch/{style}/query/0001_{style}.png" for style in "ABCDEF"],
        [f"sketch/{style}/query/0003_{style}.png" for style in "ABCDE"],
    ]
    assert any("learn a fusion module" in note for note in multi.notes)


def test_styles_to_train_and_to_test_on(root: Path) -> None:
    dataset = load_dataset("market-sketch-1k", root, {"train_styles": "F", "test_styles": "EA"})
    drawn = {
        split: {s.camera_id for s in dataset.select(split, modalities=[Modality.SKETCH])}
        for split in (Split.TRAIN, Split.TEST)
    }
    assert drawn == {Split.TRAIN: {"F"}, Split.TEST: {"A", "E"}}
    assert {s.person_id for s in dataset.select(Split.TRAIN)} == {"0002"}, "0007 has no sketch by F"
    assert {s.person_id for s in dataset.select(Split.TEST, modalities=[Modality.RGB])} == set(TEST)
    assert any("trained on styles F, tested on styles AE" in note for note in dataset.protocols[0].notes)
    for wrong in ("", "G", "AA", "a"):
        with pytest.raises(UserError, match=f"option test_styles={wrong}: expected some of the letters ABCDEF"):
            load_dataset("market-sketch-1k", root, {"test_styles": wrong})


def test_wrong_layouts(root: Path, write_image: Callable[..., Path]) -> None:
    stray = write_image(root / "sketch" / "B" / "train" / "front.png")
    with pytest.raises(UserError, match=r"front\.png: expected a name that starts with the person's four digits"):
        load_dataset("market-sketch-1k", root)
    stray.unlink()
    (root / "sketch" / "E").rename(root / "sketch" / "G")
    with pytest.raises(UserError, match="sketch/E: no such folder; expected sketch/A to sketch/F"):
        load_dataset("market-sketch-1k", root)
    with pytest.raises(UserError, match="not a Market-Sketch-1K folder; expected photo, sketch in it"):
        load_dataset("market-sketch-1k", root / "photo")
