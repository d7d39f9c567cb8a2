"""CUHK03 by the new protocol, 767 people for training and 700 for testing.

Li et al., DeepReID, CVPR 2014; protocol: Zhong et al., Re-ranking Person Re-identification with k-reciprocal Encoding,
CVPR 2017. The data set is in circulation as folders of PNG files and as the one MATLAB file of its authors, whose
images `reid.datasets.cuhk03_mat` writes to PNG files once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from reid.dataset import Dataset, count_people, count_samples
from reid.datasets.cuhk03_mat import CONFIG, MAT, extract, read_split
from reid.datasets.folders import contents, image_files, sample_id
from reid.datasets.kind import Kind, Option
from reid.datasets.market_style import NAME
from reid.errors import UserError
from reid.modality import Modality
from reid.protocol import Drop, cross_modal
from reid.sample import Sample, Split

TITLE = "CUHK03"
FOLDERS = {Split.TRAIN: "bounding_box_train", Split.QUERY: "query", Split.GALLERY: "bounding_box_test"}
PUBLISHED = {"labeled": (7_368, 1_400, 5_328), "detected": (7_365, 1_400, 5_332)}
# 1_001_1_01.png: camera pair, person of that pair, view, image.
PAIR_NAME = re.compile(r"(\d)_(\d+)_(\d)_\d+")


def load(root: Path, options: Mapping[str, str]) -> Dataset:
    """The data set at `root` in either layout, with the boxes that option `boxes` names.

    Folders: `root` holds `labeled` and `detected`, or `cuhk03-np` does. MATLAB file: `root` or `root/cuhk03` holds
    the protocol files, and `cuhk03_release/cuhk-03.mat` or `cuhk-03.mat`.

    Raises:
        UserError: neither layout, unknown file names, or SciPy or h5py is needed and missing.
    """
    boxes = options["boxes"]
    np_folder = next((f for f in (root, root / "cuhk03-np") if (f / boxes / FOLDERS[Split.TRAIN]).is_dir()), None)
    if np_folder is not None:
        folder, samples = np_folder, _from_folders(np_folder, boxes)
    else:
        folder, mat, config = _find_mat(root, boxes)
        samples = _from_mat(folder, mat, config, boxes)
    train, query, gallery = PUBLISHED[boxes]
    counts = (
        count_samples(samples, "train images", train, Split.TRAIN),
        count_people(samples, "train people", 767, Split.TRAIN),
        count_samples(samples, "query images", query, Split.QUERY),
        count_samples(samples, "gallery images", gallery, Split.GALLERY),
        count_people(samples, "test people", 700, Split.QUERY, Split.GALLERY),
    )
    protocol = cross_modal(
        "cuhk03-np",
        Modality.RGB,
        Modality.RGB,
        query_splits=(Split.QUERY,),
        gallery_splits=(Split.GALLERY,),
        drop=Drop.SAME_CAMERA,
        notes=(f"CUHK03-NP (767/700), {boxes} boxes, not the 20 classic splits",),
        source="github.com/zhunzhong07/person-re-ranking CUHK03-NP/README.md",
    )
    return Dataset("cuhk03", folder, tuple(samples), (protocol,), counts, dict(options))


def _from_folders(root: Path, boxes: str) -> list[Sample]:
    samples = []
    for split, name in FOLDERS.items():
        images = image_files(root / boxes / name)
        if not images:
            raise UserError(f"{root / boxes / name}: no images in it; expected names like 0001_c1_1.png")
        samples += [_sample(image, root, split) for image in images]
    return samples


def _find_mat(root: Path, boxes: str) -> tuple[Path, Path, Path]:
    """The data set's folder, the MATLAB file and the protocol file."""
    config = CONFIG.format(boxes=boxes)
    for folder in (root, root / "cuhk03"):
        for mat in (folder / "cuhk03_release" / MAT, folder / MAT):
            if mat.is_file():
                for place in (folder, mat.parent):
                    if (place / config).is_file():
                        return folder, mat, place / config
                raise UserError(
                    f"{folder}: {config} is missing; "
                    "get it from github.com/zhunzhong07/person-re-ranking, evaluation/data/CUHK03"
                )
    raise UserError(
        f"{root}: not a {TITLE} folder; expected {boxes}/{FOLDERS[Split.TRAIN]}/ (in it or in cuhk03-np/) or {MAT} "
        f"(in it, in cuhk03_release/ or in cuhk03/), found {contents(root)}"
    )


def _from_mat(root: Path, mat: Path, config: Path, boxes: str) -> list[Sample]:
    images = extract(mat, boxes)
    parts = read_split(config)
    there = {image.name for image in image_files(images)}
    missing = [name for names in parts.values() for name in names if name not in there]
    if missing:
        raise UserError(
            f"{config}: names {missing[0]} and {len(missing) - 1} more that {images} lacks; "
            f"remove {images} to extract it again"
        )
    samples: list[Sample] = []
    for split in FOLDERS:
        samples += [_sample(images / name, root, split) for name in sorted(parts[split])]
    return samples


def _sample(image: Path, root: Path, split: Split) -> Sample:
    """A sample out of a name of either style; the camera is the view, of which each pair of cameras has two."""
    person, camera = _person_and_view(image)
    return Sample(sample_id(image, root), person, Modality.RGB, split, camera, image)


def _person_and_view(image: Path) -> tuple[str, str]:
    by_pair = PAIR_NAME.match(image.name)
    if by_pair is not None:
        pair, number, view = by_pair.groups()
        return f"{pair}_{number}", view
    market = NAME.match(image.name)
    if market is not None:
        return market.group(1), str(int(market.group(2)))
    raise UserError(f"{image}: expected a name like 1_001_1_01.png or 0001_c1_1.png; rename or remove it")


KIND = Kind(
    name="cuhk03",
    title=TITLE,
    layout=(
        "cuhk03-np/{labeled,detected}/{bounding_box_train,query,bounding_box_test}/1_001_1_01.png\n"
        "or\n"
        "cuhk03/cuhk03_release/cuhk-03.mat\n"
        "cuhk03/cuhk03_new_protocol_config_{labeled,detected}.mat"
    ),
    load=load,
    options={"boxes": Option("labeled", tuple(PUBLISHED), "boxes drawn by hand or by a detector")},
)
