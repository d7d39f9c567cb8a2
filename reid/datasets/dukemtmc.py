"""DukeMTMC-reID: Ristani et al. 2016, Zheng et al. 2017. Withdrawn by Duke University in 2019.

Reads a copy that exists. Nothing here downloads it or assumes where it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from reid.dataset import Count, Dataset, count_people, count_samples
from reid.datasets.folders import find_folder
from reid.datasets.kind import Kind
from reid.datasets.market_style import read_folder
from reid.modality import Modality
from reid.protocol import Drop, cross_modal
from reid.sample import Split

TITLE = "DukeMTMC-reID"
TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"
WITHDRAWN = (
    "DukeMTMC was withdrawn by Duke University in 2019 because the people in it had not agreed to be recorded; "
    "do not report new results on it"
)


def load(root: Path, options: Mapping[str, str]) -> Dataset:
    """The data set at `root`, or in `DukeMTMC-reID` inside it.

    Raises:
        UserError: wrong layout or file names.
    """
    folder = find_folder(root, ("DukeMTMC-reID",), (TRAIN, QUERY, GALLERY), TITLE)
    train, _ = read_folder(folder / TRAIN, folder, Split.TRAIN)
    query, _ = read_folder(folder / QUERY, folder, Split.QUERY)
    gallery, _ = read_folder(folder / GALLERY, folder, Split.GALLERY)
    samples = (*train, *query, *gallery)
    counts = (
        count_samples(train, "train images", 16_522),
        count_people(train, "train people", 702),
        count_samples(query, "query images", 2_228),
        count_people(query, "query people", 702),
        count_samples(gallery, "gallery images", 17_661),
        Count("cameras", len({s.camera_id for s in samples}), 8),
    )
    protocol = cross_modal(
        "dukemtmc",
        Modality.RGB,
        Modality.RGB,
        query_splits=(Split.QUERY,),
        gallery_splits=(Split.GALLERY,),
        drop=Drop.SAME_CAMERA,
        notes=("withdrawn data set",),
        source="fast-reid evaluation/rank.py, torchreid metrics/rank.py",
    )
    return Dataset("dukemtmc", folder, samples, (protocol,), counts, dict(options), warnings=(WITHDRAWN,))


KIND = Kind(
    name="dukemtmc",
    title=TITLE,
    layout=(
        "DukeMTMC-reID/bounding_box_train/0001_c2_f0046182.jpg\nDukeMTMC-reID/query/\nDukeMTMC-reID/bounding_box_test/"
    ),
    load=load,
)
