"""PKU-Sketch: Pang et al., Cross-Domain Adversarial Feature Learning for Sketch Re-identification, ACM MM 2018."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from pathlib import Path

from reid.dataset import Count, Dataset, count_people, count_samples
from reid.datasets.folders import find_folder, image_files, sample_id
from reid.datasets.holdout import HOLD_OUT, hold_out
from reid.datasets.kind import Kind, Option
from reid.errors import UserError
from reid.modality import Modality
from reid.protocol import Protocol, cross_modal
from reid.sample import Sample, Split

TITLE = "PKU-Sketch"
SPLITS = tuple(str(number) for number in range(10))
PHOTO = re.compile(r"(\d+)_(\d+)_\d+\.")
SKETCH = re.compile(r"(\d+)\.")
STYLE = re.compile(r"([a-e])_\d+\.txt")
# Style -> people in the published files, and how many of them are tested (script of UNIReID's author).
PEOPLE = {"a": 46, "b": 20, "c": 79, "d": 33, "e": 22}
TESTED = {"a": 11, "b": 5, "c": 20, "d": 8, "e": 6}


def load(root: Path, options: Mapping[str, str]) -> Dataset:
    """Split number `split` of the data set at `root`, or in `PKUSketchRE-ID_V1` inside it.

    The sketch of a person has the artist's style as its camera_id.

    Raises:
        UserError: wrong layout or file names, or a style with too few people.
    """
    folder = find_folder(root, ("PKUSketchRE-ID_V1",), ("photo", "sketch", "styleAnnotation"), TITLE)
    styles = read_styles(folder / "styleAnnotation")
    number = options["split"]
    tested = draw(styles, int(number))
    style_of = {person: style for style, people in styles.items() for person in people}
    samples: list[Sample] = []
    for part, pattern, modality in (("photo", PHOTO, Modality.RGB), ("sketch", SKETCH, Modality.SKETCH)):
        for image in image_files(folder / part):
            named = pattern.match(image.name)
            if named is None:
                example = "1_05_356.jpg (person, camera, frame)" if part == "photo" else "1.jpg (person)"
                raise UserError(f"{image}: expected a name like {example}; rename or remove it")
            person = str(int(named.group(1)))
            if person not in style_of:
                raise UserError(f"{image}: person {person} is in no file of {folder / 'styleAnnotation'}")
            photo_camera = str(int(named.group(2))) if part == "photo" else None
            split = Split.TEST if person in tested else Split.TRAIN
            image_id = sample_id(image, folder)
            source = image_id if part == "photo" else None
            camera = photo_camera or style_of[person]
            samples.append(Sample(image_id, person, modality, split, camera, image, source_id=source))
    samples.sort(key=lambda s: (s.modality is Modality.SKETCH, int(s.person_id), s.sample_id))
    counts = _counts(samples, styles)
    return Dataset(
        "pku-sketch",
        folder,
        hold_out(samples, options["val_people"], f"pku-sketch-{number}"),
        (_protocol(number),),
        counts,
        dict(options),
    )


def read_styles(folder: Path) -> dict[str, list[str]]:
    """Style -> its people in ascending order, from `a_46.txt` to `e_22.txt` with one person number per line.

    Raises:
        UserError: a style's file is missing or twice there, or does not hold numbers.
    """
    styles: dict[str, list[str]] = {}
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        named = STYLE.fullmatch(file.name)
        if named is None:
            continue
        if named.group(1) in styles:
            raise UserError(f"{file}: a second file of style {named.group(1)}; keep the published one")
        people = file.read_text(encoding="utf-8-sig", errors="replace").split()
        if not people or not all(person.isascii() and person.isdigit() for person in people):
            raise UserError(f"{file}: expected one person number per line")
        styles[named.group(1)] = [str(person) for person in sorted({int(person) for person in people})]
    missing = sorted(set(PEOPLE) - set(styles))
    if missing:
        raise UserError(f"{folder}: no file of style {missing[0]}; expected {missing[0]}_{PEOPLE[missing[0]]}.txt")
    return styles


def draw(styles: Mapping[str, list[str]], split: int) -> set[str]:
    """The people tested in split number `split`: a fixed number of each style, from Python's `random` seeded with it.

    Raises:
        UserError: a style has too few people.
    """
    generator = random.Random(split)
    tested: set[str] = set()
    for style, number in TESTED.items():
        people = styles[style]
        if len(people) < number:
            raise UserError(
                f"style {style} has {len(people)} people, but {number} of them are tested; data set incomplete"
            )
        tested.update(generator.sample(people, number))
    return tested


def _counts(samples: list[Sample], styles: Mapping[str, list[str]]) -> tuple[Count, ...]:
    return (
        count_people(samples, "people", 200),
        count_samples(samples, "photos", 400, modality=Modality.RGB),
        count_samples(samples, "sketches", 200, modality=Modality.SKETCH),
        count_people(samples, "train people", 150, Split.TRAIN),
        count_people(samples, "test people", 50, Split.TEST),
        count_samples(samples, "test photos", 100, Split.TEST, modality=Modality.RGB),
        *(Count(f"people of style {style}", len(styles[style]), published) for style, published in PEOPLE.items()),
    )


def _protocol(number: str) -> Protocol:
    tested = "/".join(str(n) for n in TESTED.values())
    return cross_modal(
        "pku-sketch",
        Modality.SKETCH,
        Modality.RGB,
        query_splits=(Split.TEST,),
        gallery_splits=(Split.TEST,),
        notes=(
            f"split {number} of 0..9: published numbers are means over 10 random splits, a model for each",
            f"the splits were never published; ours: {tested} test people of styles a-e by random.Random({number})",
            "no camera rule",
        ),
        source="script of UNIReID's author for the random splits, which does not seed them",
    )


KIND = Kind(
    name="pku-sketch",
    title=TITLE,
    layout=(
        "PKUSketchRE-ID_V1/photo/1_05_356.jpg  (person, camera, frame)\n"
        "PKUSketchRE-ID_V1/sketch/1.jpg  (person)\n"
        "PKUSketchRE-ID_V1/styleAnnotation/{a_46,b_20,c_79,d_33,e_22}.txt"
    ),
    load=load,
    options={"split": Option("0", SPLITS, "which of our ten random splits"), "val_people": HOLD_OUT},
)
