"""SYSU-MM01: Wu et al., RGB-Infrared Cross-Modality Person Re-Identification, ICCV 2017; IJCV 2020.

Two families of galleries are in use and give different numbers, so each protocol says which one it is: `official` are
the permutations published with the evaluation code, `agw` is the seeded draw of AGW and of nearly every paper since.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reid.dataset import Count, Dataset, count_people, count_samples
from reid.datasets.folders import find_folder, image_files, sample_id
from reid.datasets.kind import Kind, Option
from reid.datasets.lists import load_mat, read_ids
from reid.errors import UserError
from reid.modality import Modality
from reid.protocol import Cmc, Drop, Protocol, Sampling, Select
from reid.sample import Sample, Split

TITLE = "SYSU-MM01"
CAMERAS = ("1", "2", "3", "4", "5", "6")
INFRARED = ("3", "6")
SEARCH = {"all": ("1", "2", "4", "5"), "indoor": ("1", "2")}
SHOTS = {"single": 1, "multi": 10}
TRIALS = 10
# Cameras 2 and 3 hang in the same room: evaluation_SYSU_MM01.m, cam_id = [1 2 2 4 5 6].
LOCATIONS = (("1", "1"), ("2", "2"), ("3", "2"), ("4", "4"), ("5", "5"), ("6", "6"))
TEST_IMAGES = {"1": 1374, "2": 1565, "3": 1883, "4": 1918, "5": 1918, "6": 1920}
PERMUTATIONS = "rand_perm_cam.mat"
PERMUTATIONS_URL = "https://github.com/wuancong/SYSU-MM01/tree/master/evaluation/data_split"

AGW_NOTE = "galleries: AGW, random.seed(trial) for trial 0..9, random.choice per person and camera"
AGW_MULTI_NOTE = (
    "galleries: seeded as AGW, random.sample of 10 per person and camera; AGW itself has single-shot only, "
    "so this is no published gallery"
)
OFFICIAL_NOTE = f"galleries: official, rows 1..10 of {PERMUTATIONS}"
SKIP_NOTE = "probes of camera 3 skip every gallery image of camera 2; probes without a positive left are not counted"


def load(root: Path, options: Mapping[str, str]) -> Dataset:
    """The data set at `root`, or in `SYSU-MM01` inside it.

    Raises:
        UserError: wrong layout, or the file named by option `permutations` is missing or of another shape.
    """
    folder = find_folder(root, ("SYSU-MM01",), (*(f"cam{camera}" for camera in CAMERAS), "exp"), TITLE)
    merged = options["val"] == "merged"
    people = {name: read_ids(folder / "exp", f"{name}_id") for name in ("train", "val", "test")}
    samples = (
        *_samples(folder, sorted(people["train"] + people["val"]) if merged else people["train"], Split.TRAIN),
        *([] if merged else _samples(folder, people["val"], Split.VAL)),
        *_samples(folder, people["test"], Split.TEST),
    )
    protocols = [_agw(search, shot) for search in SEARCH for shot in SHOTS]
    warnings = []
    file = _find_permutations(folder, options["permutations"])
    if file is None:
        warnings.append(
            f"no {PERMUTATIONS}, so the sysu-*-official protocols are not offered; get it from {PERMUTATIONS_URL} "
            f"and put it into {folder / 'exp'}, or name it with permutations=PATH"
        )
    else:
        try:
            protocols += _official(file, samples, people["test"])
        except UserError as error:
            # A copy that lacks an image can still be checked, and scored by the other protocols.
            if options["permutations"]:
                raise
            warnings.append(str(error))
    counts = _counts(samples, merged)
    return Dataset("sysu", folder, samples, tuple(protocols), counts, dict(options), tuple(warnings))


def _samples(root: Path, people: Sequence[int], split: Split) -> list[Sample]:
    """All images of `people` by camera, person and file name; not everybody was seen by every camera."""
    samples = []
    for camera in CAMERAS:
        modality = Modality.IR if camera in INFRARED else Modality.RGB
        for number in people:
            person = f"{number:04d}"
            folder = root / f"cam{camera}" / person
            if folder.is_dir():
                for image in image_files(folder):
                    samples.append(Sample(sample_id(image, root), person, modality, split, camera, image))
    return samples


def _counts(samples: Sequence[Sample], merged: bool) -> tuple[Count, ...]:
    test = [s for s in samples if s.split is Split.TEST]
    training = (Split.TRAIN, Split.VAL)
    per_split = (
        [count_people(samples, "train people (with val)", 395, Split.TRAIN)]
        if merged
        else [
            count_people(samples, "train people", 296, Split.TRAIN),
            count_people(samples, "validation people", 99, Split.VAL),
        ]
    )
    return (
        *per_split,
        count_samples(samples, "train+val RGB images", 22_258, *training, modality=Modality.RGB),
        count_samples(samples, "train+val infrared images", 11_909, *training, modality=Modality.IR),
        count_people(samples, "test people", 96, Split.TEST),
        *(
            Count(f"test images of camera {camera}", sum(s.camera_id == camera for s in test), published)
            for camera, published in TEST_IMAGES.items()
        ),
    )


def _protocol(
    search: str,
    shot: str,
    family: str,
    note: str,
    sampling: Sampling | None = None,
    galleries: tuple[tuple[str, ...], ...] | None = None,
) -> Protocol:
    return Protocol(
        name=f"sysu-{search}-{shot}-{family}",
        query=Select((Modality.IR,), (Split.TEST,), INFRARED),
        gallery=Select((Modality.RGB,), (Split.TEST,), SEARCH[search]),
        drop=Drop.SAME_LOCATION,
        cmc=Cmc.IDENTITY,
        trials=TRIALS,
        sampling=sampling,
        locations=LOCATIONS,
        galleries=galleries,
        notes=(note, SKIP_NOTE),
        source="github.com/wuancong/SYSU-MM01 evaluation/*.m; AGW data_manager.py, eval_metrics.py:eval_sysu",
    )


def _agw(search: str, shot: str) -> Protocol:
    note = AGW_NOTE if shot == "single" else AGW_MULTI_NOTE
    return _protocol(search, shot, "agw", note, sampling=Sampling(SHOTS[shot], SEARCH[search]))


def _find_permutations(root: Path, named: str) -> Path | None:
    if named:
        if not Path(named).is_file():
            raise UserError(f"option permutations={named}: no such file; get {PERMUTATIONS} from {PERMUTATIONS_URL}")
        return Path(named)
    return next((f for f in (root / "exp" / PERMUTATIONS, root / PERMUTATIONS) if f.is_file()), None)


def _official(file: Path, samples: Sequence[Sample], people: Sequence[int]) -> list[Protocol]:
    """The four protocols on the galleries of `rand_perm_cam.mat`.

    The variable `rand_perm_cam` is a 6 x 1 cell of cameras; each holds one cell per person number, and that a matrix
    [trials, images of the person] whose rows permute 1..images. A gallery is the images at the first 1 or 10 places.
    """
    images: dict[tuple[str, int], list[str]] = {}
    for s in samples:
        if s.split is Split.TEST and s.camera_id is not None:
            images.setdefault((s.camera_id, int(s.person_id)), []).append(s.sample_id)
    permutations = load_mat(file).get("rand_perm_cam")
    if permutations is None or permutations.size != len(CAMERAS):
        raise UserError(f"{file}: expected a variable 'rand_perm_cam' with {len(CAMERAS)} cells; download it again")
    cells = [cell.ravel() for cell in permutations.ravel()]
    protocols = []
    for search, cameras in SEARCH.items():
        for shot, number in SHOTS.items():
            galleries: list[list[str]] = [[] for _ in range(TRIALS)]
            for camera in cameras:
                for person in people:
                    files = images.get((camera, person), [])
                    order = _order(file, cells[int(camera) - 1], camera, person, len(files))
                    for gallery, row in zip(galleries, order, strict=False):
                        gallery += [files[place - 1] for place in row[:number]]
            trials = tuple(tuple(gallery) for gallery in galleries)
            protocols.append(_protocol(search, shot, "official", OFFICIAL_NOTE, galleries=trials))
    return protocols


def _order(file: Path, cells: Any, camera: str, person: int, images: int) -> list[list[int]]:
    """One person's permutations [trials][images] of one camera, checked against the images that are there."""
    matrix = cells[person - 1] if person <= len(cells) else None
    if matrix is None or matrix.size == 0:
        rows: list[list[int]] = []
    else:
        rows = [[int(place) for place in row] for row in matrix[:TRIALS]]
    described = len(rows[0]) if rows else 0
    if described != images or (rows and (len(rows) < TRIALS or set(rows[0]) != set(range(1, images + 1)))):
        raise UserError(
            f"{file}: describes {len(rows)} trials of {described} images of person {person:04d} in camera {camera}, "
            f"found {images}; the sysu-*-official protocols need the complete data set and the published file"
        )
    return rows


KIND = Kind(
    name="sysu",
    title=TITLE,
    layout=(
        "SYSU-MM01/cam{1..6}/0001/0001.jpg\n"
        "SYSU-MM01/exp/{train,val,test}_id.{txt,mat}\n"
        "SYSU-MM01/exp/rand_perm_cam.mat  (for the official protocols)"
    ),
    load=load,
    options={
        "val": Option("merged", ("merged", "held-out"), "train on the validation people too (395), or keep them apart"),
        "permutations": Option("", (), "path of rand_perm_cam.mat, if not in exp/"),
    },
)
