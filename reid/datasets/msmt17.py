"""MSMT17: Wei et al., Person Transfer GAN to Bridge Domain Gap for Person Re-Identification, CVPR 2018."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reid.dataset import Count, Dataset, count_people, count_samples
from reid.datasets.folders import contents
from reid.datasets.kind import Kind, Option
from reid.datasets.lists import Entry, read_entries
from reid.errors import UserError
from reid.modality import Modality
from reid.protocol import Drop, Protocol, cross_modal
from reid.sample import Sample, Split

TITLE = "MSMT17"


@dataclass(frozen=True)
class Release:
    """One of the published versions: how it is called and where its images lie."""

    name: str
    train: str
    test: str


# V2 is V1 with blurred faces.
RELEASES = (Release("V2", "mask_train_v2", "mask_test_v2"), Release("V1", "train", "test"))
FOLDERS = ("MSMT17_V2", "MSMT17_V1", "MSMT17")

# What becomes of list_val.txt: 2,373 images of training people. Toolboxes differ, and so do their numbers.
LIST_VAL = {
    "train": "list_val.txt is used for training (TransReID, CLIP-ReID)",
    "val": "list_val.txt is the validation split, of the same people as the training split",
    "drop": "list_val.txt is left out (fast-reid, torchreid)",
}


def load(root: Path, options: Mapping[str, str]) -> Dataset:
    """The data set at `root`, or in `MSMT17_V1`, `MSMT17_V2` or `MSMT17` inside it.

    Test labels restart at 0, so test people get the numbers after the training people's.

    Raises:
        UserError: wrong layout, both versions in one folder, or a broken list.
    """
    folder, release = _find(root)
    train = read_entries(folder / "list_train.txt", folder / release.train)
    val = read_entries(folder / "list_val.txt", folder / release.train)
    query = read_entries(folder / "list_query.txt", folder / release.test)
    gallery = read_entries(folder / "list_gallery.txt", folder / release.test)
    # Whatever list_val becomes, a test person keeps the same number.
    offset = 1 + max(entry.label for entry in (*train, *val))

    use = options["list_val"]
    samples = _samples(folder, release.train, train, 0, Split.TRAIN)
    if use != "drop":
        samples += _samples(folder, release.train, val, 0, Split.TRAIN if use == "train" else Split.VAL)
    samples.sort(key=lambda s: (s.split is not Split.TRAIN, s.sample_id))
    samples += sorted(_samples(folder, release.test, query, offset, Split.QUERY), key=lambda s: s.sample_id)
    samples += sorted(_samples(folder, release.test, gallery, offset, Split.GALLERY), key=lambda s: s.sample_id)
    counts = (
        count_samples(samples, "train images", 32_621 if use == "train" else 30_248, Split.TRAIN),
        *([count_samples(samples, "validation images", 2_373, Split.VAL)] if use == "val" else []),
        count_people(samples, "train people", 1_041, Split.TRAIN),
        count_samples(samples, "query images", 11_659, Split.QUERY),
        count_samples(samples, "gallery images", 82_161, Split.GALLERY),
        count_people(samples, "test people", 3_060, Split.QUERY, Split.GALLERY),
        Count("cameras", len({s.camera_id for s in samples}), 15),
    )
    resolved = {**options, "release": release.name}
    return Dataset("msmt17", folder, tuple(samples), (_protocol(release, use),), counts, resolved)


def _find(root: Path) -> tuple[Path, Release]:
    """The folder of the data set and its version, told by the names of the image folders."""
    found = [
        (folder, release)
        for folder in (root, *(root / name for name in FOLDERS))
        for release in RELEASES
        if (folder / release.train).is_dir() and (folder / release.test).is_dir()
    ]
    if not found:
        raise UserError(
            f"{root}: not an {TITLE} folder; expected train/ and test/ (V1) or mask_train_v2/ and mask_test_v2/ (V2) "
            f"in it or in {', '.join(FOLDERS)} inside it, found {contents(root)}"
        )
    if len(found) > 1:
        names = " and ".join(f"{folder} ({release.name})" for folder, release in found)
        raise UserError(f"{root}: holds {TITLE} more than once, {names}; name the one that is meant")
    return found[0]


def _samples(root: Path, folder: str, entries: Sequence[Entry], offset: int, split: Split) -> list[Sample]:
    samples = []
    for entry in entries:
        # 0000_000_01_0303morning_0008_0.jpg: person, number, camera, time, ...
        fields = entry.path.name.split("_")
        if len(fields) < 4 or not fields[2].isdigit():
            raise UserError(f"{root / folder / entry.path}: expected a name like 0000_000_01_0303morning_0008_0.jpg")
        name = f"{folder}/{entry.path}"
        person, camera = f"{entry.label + offset:04d}", str(int(fields[2]))
        samples.append(Sample(name, person, Modality.RGB, split, camera, root / name))
    return samples


def _protocol(release: Release, use: str) -> Protocol:
    return cross_modal(
        "msmt17",
        Modality.RGB,
        Modality.RGB,
        query_splits=(Split.QUERY,),
        gallery_splits=(Split.GALLERY,),
        drop=Drop.SAME_CAMERA,
        notes=(f"MSMT17 {release.name}", LIST_VAL[use]),
        source="fast-reid evaluation/rank.py, torchreid metrics/rank.py",
    )


KIND = Kind(
    name="msmt17",
    title=TITLE,
    layout=(
        "MSMT17_V1/{train,test}/0000/0000_000_01_0303morning_0008_0.jpg  (or MSMT17/)\n"
        "MSMT17_V2/{mask_train_v2,mask_test_v2}/\n"
        "MSMT17_V1/list_{train,val,query,gallery}.txt  (lines: path label)"
    ),
    load=load,
    options={
        "list_val": Option(
            "train", tuple(LIST_VAL), "list_val.txt: train on it, make it the val split, or leave it out"
        )
    },
)
