"""RegDB: Nguyen et al., Person Recognition System Based on a Combination of Body Images, Sensors 2017."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from reid.dataset import Dataset, count_people, count_samples
from reid.datasets.folders import find_folder
from reid.datasets.kind import Kind, Option
from reid.datasets.lists import people_of, read_entries, unnamed_people
from reid.modality import Modality
from reid.protocol import Protocol, cross_modal
from reid.sample import Sample, Split

TITLE = "RegDB"
TRIALS = tuple(str(trial) for trial in range(1, 11))
# The two cameras are one rig; AGW's eval_regdb numbers them so that the same-camera rule never applies.
SIDES = (("visible", Modality.RGB, "1"), ("thermal", Modality.IR, "2"))
# male_front_v_00201_1.bmp: sex, view, camera, image, person.
PERSON = re.compile(r"_(\d+)\.[a-z]+$", re.IGNORECASE)


def load(root: Path, options: Mapping[str, str]) -> Dataset:
    """Split number `trial` of the data set at `root`, or in `RegDB` inside it.

    Raises:
        UserError: wrong layout or a broken list.
    """
    trial = options["trial"]
    folder = find_folder(root, ("RegDB",), ("idx", "Visible", "Thermal"), TITLE)
    samples: list[Sample] = []
    for name, split in (("train", Split.TRAIN), ("test", Split.TEST)):
        lists = [read_entries(folder / "idx" / f"{name}_{side}_{trial}.txt", folder) for side, _, _ in SIDES]
        people = people_of([entry for entries in lists for entry in entries], PERSON, 4, f"{name}-")
        for entries, (_, modality, camera) in zip(lists, SIDES, strict=True):
            found = [Sample(str(e.path), people[e.label], modality, split, camera, folder / e.path) for e in entries]
            samples += sorted(found, key=lambda s: s.sample_id)
    counts = (
        count_samples(samples, "train visible images", 2_060, Split.TRAIN, modality=Modality.RGB),
        count_samples(samples, "train thermal images", 2_060, Split.TRAIN, modality=Modality.IR),
        count_people(samples, "train people", 206, Split.TRAIN),
        count_samples(samples, "test visible images", 2_060, Split.TEST, modality=Modality.RGB),
        count_samples(samples, "test thermal images", 2_060, Split.TEST, modality=Modality.IR),
        count_people(samples, "test people", 206, Split.TEST),
    )
    protocols = (
        _protocol("regdb-visible-to-thermal", Modality.RGB, Modality.IR, trial),
        _protocol("regdb-thermal-to-visible", Modality.IR, Modality.RGB, trial),
    )
    warnings = unnamed_people(s.person_id for s in samples)
    return Dataset("regdb", folder, tuple(samples), protocols, counts, dict(options), warnings)


def _protocol(name: str, query: Modality, gallery: Modality, trial: str) -> Protocol:
    return cross_modal(
        name,
        query,
        gallery,
        query_splits=(Split.TEST,),
        gallery_splits=(Split.TEST,),
        notes=(
            f"trial {trial} of {len(TRIALS)}: published numbers are means over 10 splits, a model for each",
            "no camera rule",
        ),
        source="AGW data_manager.py:process_test_regdb, eval_metrics.py:eval_regdb",
    )


KIND = Kind(
    name="regdb",
    title=TITLE,
    layout=(
        "RegDB/{Visible,Thermal}/1/male_front_v_00201_1.bmp\n"
        "RegDB/idx/{train,test}_{visible,thermal}_{1..10}.txt  (lines: path label)"
    ),
    load=load,
    options={"trial": Option("1", TRIALS, "which of the ten splits")},
)
