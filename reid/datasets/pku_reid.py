"""PKU-Reid with captions: Ma et al., Orientation driven bag of appearances for person re-identification, 2016.

62 people, each seen by two cameras from eight directions, described twice. Infrared views and sketches are derived
from the photographs: `reid data derive` writes `images-ir/` and `images-sketch/` beside `images/`, or elsewhere where
the originals are read-only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reid.dataset import Dataset, count_people, count_samples
from reid.datasets.folders import find_folder, image_files, sample_id
from reid.datasets.holdout import HOLD_OUT, hold_out
from reid.datasets.kind import Kind, Option
from reid.datasets.views import find_views, read_views
from reid.errors import UserError
from reid.modality import Modality
from reid.protocol import Protocol, Select
from reid.sample import Sample, Split

TITLE = "PKU-Reid"
IMAGES, CAPTIONS, SPLIT = "images", "captions.json", "split.json"
# Person, camera, direction.
NAME = re.compile(r"(\d+)_(\d+)_(\d+)\.")
QUERY_CAMERA, GALLERY_CAMERA = "2", "1"
SOURCE = "README.md of the captioned data set"


def load(root: Path, options: Mapping[str, str]) -> Dataset:
    """The data set at `root`, or in `pku-reid` inside it.

    Raises:
        UserError: wrong layout, file names or JSON; a person without a split.
    """
    folder = find_folder(root, ("pku-reid", "PKU-Reid"), (IMAGES, CAPTIONS, SPLIT), TITLE)
    split_of = read_split(folder / SPLIT)
    photos = _photos(folder, split_of)
    views: list[Sample] = []
    warnings: list[str] = []
    for modality in (Modality.IR, Modality.SKETCH):
        found = find_views(folder / IMAGES, modality, options[modality.value])
        if found is not None:
            read = read_views(photos, folder / IMAGES, found, modality)
            views += read.samples
            warnings += read.warnings
    samples = (*photos, *views, *_captions(folder / CAPTIONS, split_of))
    counts = (
        count_people(photos, "people", 62),
        count_samples(photos, "photographs", 992),
        count_people(photos, "train people", 46, Split.TRAIN),
        count_people(photos, "test people", 16, Split.TEST),
        count_samples(samples, "captions", 124, modality=Modality.TEXT),
    )
    derived = [m for m in (Modality.IR, Modality.SKETCH) if any(s.modality is m for s in views)]
    protocols = tuple(_protocol(m) for m in (Modality.RGB, Modality.TEXT, *derived))
    held = hold_out(samples, options["val_people"], "pku-reid")
    return Dataset("pku-reid", folder, held, protocols, counts, dict(options), tuple(warnings))


def read_split(file: Path) -> dict[str, Split]:
    """Person -> train or test.

    Raises:
        UserError: not of the form `{"train": [...], "test": [...]}`, or a person is in both.
    """
    raw = _json(file)
    people: dict[str, Split] = {}
    for name, split in (("train", Split.TRAIN), ("test", Split.TEST)):
        listed = raw.get(name)
        if not isinstance(listed, list):
            raise UserError(f"{file}: expected lists of people 'train' and 'test', found {', '.join(raw) or 'none'}")
        for person in map(str, listed):
            if people.setdefault(person, split) is not split:
                raise UserError(f"{file}: person {person} is in both train and test; a person must be in one of them")
    return people


def _photos(root: Path, split_of: Mapping[str, Split]) -> list[Sample]:
    photos = []
    for image in image_files(root / IMAGES):
        named = NAME.match(image.name)
        if named is None:
            raise UserError(
                f"{image}: expected a name like 001_02_5.png (person, camera, direction); rename or remove it"
            )
        person, camera = named.group(1), str(int(named.group(2)))
        if person not in split_of:
            raise UserError(f"{image}: person {person} is not in {SPLIT}; add the person to 'train' or 'test' there")
        photo_id = sample_id(image, root)
        photos.append(Sample(photo_id, person, Modality.RGB, split_of[person], camera, image, source_id=photo_id))
    return photos


def _captions(file: Path, split_of: Mapping[str, Split]) -> list[Sample]:
    """Captions describe a person as a whole, so they have no source and no camera."""
    captions = []
    for person, entry in sorted(_json(file).items()):
        sentences = entry.get("captions") if isinstance(entry, dict) else None
        if not isinstance(sentences, list) or not all(isinstance(sentence, str) for sentence in sentences):
            raise UserError(f"{file}: person {person}: expected a list of sentences in 'captions'")
        if person not in split_of:
            raise UserError(f"{file}: person {person} is not in {SPLIT}; add the person to 'train' or 'test' there")
        for number, sentence in enumerate(sentences):
            captions.append(Sample(f"{person}#{number}", person, Modality.TEXT, split_of[person], text=sentence))
    return captions


def _protocol(modality: Modality) -> Protocol:
    is_text = modality is Modality.TEXT
    asked: Sequence[str] = (
        f"query: camera {QUERY_CAMERA}, gallery: RGB of camera {GALLERY_CAMERA}; no camera rule is needed",
        f"{modality} views are derived from the photographs of camera {QUERY_CAMERA}",
    )
    if is_text:
        asked = (
            f"query: every caption, gallery: RGB of camera {GALLERY_CAMERA}",
            "one annotator saw both cameras, so the numbers are on the optimistic side",
        )
    return Protocol(
        f"pku-reid-{modality}",
        Select((modality,), (Split.TEST,), None if is_text else (QUERY_CAMERA,)),
        Select((Modality.RGB,), (Split.TEST,), (GALLERY_CAMERA,)),
        notes=tuple(asked[:1] if modality is Modality.RGB else asked),
        source=SOURCE,
    )


def _json(file: Path) -> dict[str, Any]:
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file}: not a JSON file ({error})") from error
    if not isinstance(raw, dict):
        raise UserError(f"{file}: expected a JSON object, found {type(raw).__name__}")
    return raw


KIND = Kind(
    name="pku-reid",
    title=TITLE,
    layout=(
        "pku-reid/images/001_02_5.png  (person, camera, direction)\n"
        "pku-reid/captions.json\n"
        "pku-reid/split.json\n"
        "pku-reid/images-ir/ and images-sketch/  (derived, optional)"
    ),
    load=load,
    options={
        "val_people": HOLD_OUT,
        "ir": Option("", (), "folder of derived infrared views, if not images-ir/ beside images/"),
        "sketch": Option("", (), "folder of derived sketches, if not images-sketch/ beside images/"),
    },
)
