"""LLCM: Zhang and Wang, Diverse Embedding Expansion Network and Low-Light Cross-Modality Benchmark, CVPR 2023."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from reid.dataset import Count, Dataset, count_people, count_samples
from reid.datasets.folders import find_folder, image_files, sample_id
from reid.datasets.kind import Kind
from reid.datasets.lists import people_of, read_entries, read_ids, unnamed_people
from reid.errors import UserError
from reid.modality import Modality
from reid.protocol import Cmc, Drop, Protocol, Sampling, Select
from reid.sample import Sample, Split

TITLE = "LLCM"
TRIALS = 10
# Camera 3 has no infrared images. The order is that in which the released script draws.
CAMERAS = {
    Modality.RGB: ("1", "2", "3", "4", "5", "6", "7", "8", "9"),
    Modality.IR: ("1", "2", "4", "5", "6", "7", "8", "9"),
}
TEST = {Modality.RGB: "test_vis", Modality.IR: "test_nir"}
TRAIN = {Modality.RGB: "train_vis.txt", Modality.IR: "train_nir.txt"}
# 0351_c06_s200656_f4830_nir.jpg: person, camera, second, frame.
PERSON = re.compile(r"^(\d+)_c\d+")
CAMERA = re.compile(r"^\d+_c(\d+)")

CAMERA_NOTE = "gallery images of the query's person under the same camera number are dropped, across modalities"
TRIAL_NOTE = "10 trials, random.seed(trial) for trial 0..9, one random image of each person and camera"
SCRIPT_NOTE = (
    "as the released script does for VIS to IR: it swaps the roles, so the sampled infrared images are the queries and "
    "all visible images the gallery; not comparable with llcm-vis-to-ir (LLCM issue 34)"
)


def load(root: Path, options: Mapping[str, str]) -> Dataset:
    """The data set at `root`, or in `LLCM` inside it.

    Raises:
        UserError: wrong layout, a broken list or file names without a camera.
    """
    folder = find_folder(root, ("LLCM",), ("idx", *TEST.values()), TITLE)
    people = [f"{number:04d}" for number in read_ids(folder / "idx", "test_id")]
    samples = (
        *_train(folder),
        *(s for modality in TEST for s in _test(folder, modality, people)),
    )
    counts = (
        Count("images", len(samples), 46_767),
        count_people(samples, "people", 1_064),
        count_people(samples, "train people", 713, Split.TRAIN),
        count_samples(samples, "train visible images", None, Split.TRAIN, modality=Modality.RGB),
        count_samples(samples, "train infrared images", None, Split.TRAIN, modality=Modality.IR),
        count_people(samples, "test people", 351, Split.TEST),
        count_samples(samples, "test visible images", None, Split.TEST, modality=Modality.RGB),
        count_samples(samples, "test infrared images", None, Split.TEST, modality=Modality.IR),
        Count("cameras", len({s.camera_id for s in samples}), 9),
    )
    protocols = (
        _protocol("llcm-ir-to-vis", Modality.IR, Modality.RGB, "gallery", "protocol of the paper"),
        _protocol("llcm-vis-to-ir", Modality.RGB, Modality.IR, "gallery", "protocol of the paper: a sampled gallery"),
        _protocol("llcm-vis-to-ir-script", Modality.IR, Modality.RGB, "query", SCRIPT_NOTE),
    )
    warnings = unnamed_people(s.person_id for s in samples)
    return Dataset("llcm", folder, samples, protocols, counts, dict(options), warnings)


def _train(root: Path) -> list[Sample]:
    lists = {modality: read_entries(root / "idx" / name, root) for modality, name in TRAIN.items()}
    people = people_of([entry for entries in lists.values() for entry in entries], PERSON, 4, "train-")
    samples = []
    for modality, entries in lists.items():
        for entry in sorted(entries, key=lambda entry: str(entry.path)):
            camera = CAMERA.match(entry.path.name)
            if camera is None:
                raise UserError(f"{root / entry.path}: expected a name like 0351_c06_s200656_f4830_nir.jpg")
            number = str(int(camera.group(1)))
            image = root / entry.path
            samples.append(Sample(str(entry.path), people[entry.label], modality, Split.TRAIN, number, image))
    return samples


def _test(root: Path, modality: Modality, people: Sequence[str]) -> list[Sample]:
    """The test images of one modality; the folders name camera and person, and nobody is seen by all cameras."""
    samples = []
    for camera in CAMERAS[modality]:
        for person in people:
            folder = root / TEST[modality] / f"cam{camera}" / person
            if folder.is_dir():
                for image in image_files(folder):
                    samples.append(Sample(sample_id(image, root), person, modality, Split.TEST, camera, image))
    return samples


def _protocol(name: str, query: Modality, gallery: Modality, side: str, note: str) -> Protocol:
    sampled = gallery if side == "gallery" else query
    return Protocol(
        name=name,
        query=Select((query,), (Split.TEST,)),
        gallery=Select((gallery,), (Split.TEST,)),
        drop=Drop.SAME_CAMERA,
        cmc=Cmc.IDENTITY,
        trials=TRIALS,
        sampling=Sampling(1, CAMERAS[sampled], side),
        notes=(note, TRIAL_NOTE, CAMERA_NOTE),
        source="github.com/ZYK100/LLCM DEEN/data_manager.py, eval_metrics.py:eval_llcm, test.py",
    )


KIND = Kind(
    name="llcm",
    title=TITLE,
    layout=(
        "LLCM/idx/{train_vis,train_nir}.txt  (lines: path label, e.g. nir/0351/0351_c06_s200656_f4830_nir.jpg 0)\n"
        "LLCM/idx/test_id.txt  (one line, separated by commas)\n"
        "LLCM/test_vis/cam{1..9}/0001/\n"
        "LLCM/test_nir/cam{1,2,4..9}/0001/"
    ),
    load=load,
)
