"""Market-Sketch-1K: Lin et al., Beyond Domain Gap: Exploiting Subjectivity in Sketch-Based Person Retrieval, MM 2023.

Six artists (A to F) drew people of Market-1501 after what witnesses told; the gallery is a selection of its photos.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from reid.dataset import Count, Dataset, count_people, count_samples
from reid.datasets.folders import find_folder, image_files, sample_id
from reid.datasets.holdout import HOLD_OUT, hold_out
from reid.datasets.kind import Kind, Option
from reid.errors import UserError
from reid.modality import Modality
from reid.protocol import Fuse, Protocol, Select, cross_modal
from reid.sample import Sample, Split

TITLE = "Market-Sketch-1K"
STYLES = "ABCDEF"
PERSON = re.compile(r"(-1|\d{4})")
CAMERA = re.compile(r"_c(\d+)")
PARTS = (("train", Split.TRAIN), ("query", Split.TEST))
SOURCE = "github.com/Lin-Kayla/subjectivity-sketch-reid data_manager.py, test_mask1k.py"


def load(root: Path, options: Mapping[str, str]) -> Dataset:
    """The data set at `root`, or in `Market-Sketch-1K` inside it.

    A sketch has the artist's letter as its camera_id. Train photographs of people whom no sketch of the styles
    trained on shows are left out, as the authors do.

    Raises:
        UserError: wrong layout, or an option that names no style.
    """
    styles = {part: _styles(f"{part}_styles", options[f"{part}_styles"]) for part in ("train", "test")}
    folder = find_folder(root, (TITLE, "market-sketch-1k"), ("photo", "sketch"), TITLE)
    sketches = [s for style in STYLES for s in _sketches(folder, style)]
    photos = [s for part, split in PARTS for s in _photos(folder, folder / "photo" / part, split)]
    chosen = [s for s in sketches if str(s.camera_id) in styles["train" if s.split is Split.TRAIN else "test"]]
    drawn = {s.person_id for s in chosen if s.split is Split.TRAIN}
    kept = [s for s in photos if s.split is not Split.TRAIN or s.person_id in drawn]
    counts = (*_counts(sketches), Count("train photos of people without a sketch, left out", len(photos) - len(kept)))
    return Dataset(
        "market-sketch-1k",
        folder,
        hold_out((*kept, *chosen), options["val_people"], "market-sketch-1k"),
        _protocols(styles),
        counts,
        dict(options),
    )


def _styles(option: str, value: str) -> str:
    if not value or len(set(value)) != len(value) or not set(value) <= set(STYLES):
        raise UserError(f"option {option}={value}: expected some of the letters {STYLES}, each once")
    return "".join(sorted(value))


def _sketches(root: Path, style: str) -> list[Sample]:
    folder = root / "sketch" / style
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; expected sketch/A to sketch/F, each with train and query")
    return [
        _sample(image, root, Modality.SKETCH, split, style)
        for part, split in PARTS
        for image in image_files(folder / part)
    ]


def _photos(root: Path, folder: Path, split: Split) -> list[Sample]:
    photos = []
    for image in image_files(folder):
        seen = CAMERA.search(image.name)
        photo = _sample(image, root, Modality.RGB, split, str(int(seen.group(1))) if seen else None)
        photos.append(replace(photo, source_id=photo.sample_id))
    return photos


def _sample(image: Path, root: Path, modality: Modality, split: Split, camera: str | None) -> Sample:
    named = PERSON.match(image.name)
    if named is None:
        raise UserError(f"{image}: expected a name that starts with the person's four digits; rename or remove it")
    return Sample(sample_id(image, root), named.group(1), modality, split, camera, image)


def _counts(sketches: list[Sample]) -> tuple[Count, ...]:
    last = [s for s in sketches if s.camera_id == "F"]
    return (
        count_people(sketches, "people", 996),
        count_samples(sketches, "sketches", 4_763),
        count_people(sketches, "train people", 498, Split.TRAIN),
        count_people(sketches, "test people", 498, Split.TEST),
        count_samples(last, "train sketches of style F", 497, Split.TRAIN),
        count_samples(last, "test sketches of style F", 493, Split.TEST),
    )


def _protocols(styles: Mapping[str, str]) -> tuple[Protocol, ...]:
    trained = f"trained on styles {styles['train']}, tested on styles {styles['test']}"
    gallery = "gallery: photo/query, a selection of Market-1501; no camera rule"
    single = cross_modal(
        "market-sketch-single-query",
        Modality.SKETCH,
        Modality.RGB,
        query_splits=(Split.TEST,),
        gallery_splits=(Split.TEST,),
        notes=("every sketch is a query", trained, gallery),
        source=SOURCE,
    )
    multi = Protocol(
        "market-sketch-multi-query",
        Select((Modality.SKETCH,), (Split.TEST,)),
        Select((Modality.RGB,), (Split.TEST,)),
        fuse=Fuse.PERSON,
        notes=(
            "all sketches of a person are one query, the normalised mean of their normalised embeddings; the authors "
            "pad to six and learn a fusion module",
            trained,
            gallery,
        ),
        source=SOURCE,
    )
    return (single, multi)


KIND = Kind(
    name="market-sketch-1k",
    title=TITLE,
    layout=(
        "Market-Sketch-1K/photo/{train,query}/0002_c1s1_000451_03.jpg\n"
        "Market-Sketch-1K/sketch/{A..F}/{train,query}/0002*.jpg"
    ),
    load=load,
    options={
        "train_styles": Option(STYLES, (), "artists whose sketches are trained on, e.g. B or ACE"),
        "test_styles": Option(STYLES, (), "artists whose sketches are queries"),
        "val_people": HOLD_OUT,
    },
)
