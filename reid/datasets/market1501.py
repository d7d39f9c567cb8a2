"""Market-1501: Zheng et al., Scalable Person Re-identification: A Benchmark, ICCV 2015."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from reid.dataset import Count, Dataset, count_people, count_samples
from reid.datasets.folders import find_folder
from reid.datasets.kind import Kind, Option
from reid.datasets.market_style import read_folder
from reid.errors import UserError
from reid.modality import Modality
from reid.protocol import Drop, cross_modal
from reid.sample import Sample, Split

TITLE = "Market-1501"
TRAIN, QUERY, GALLERY, DISTRACTORS = "bounding_box_train", "query", "bounding_box_test", "images"


def load(root: Path, options: Mapping[str, str]) -> Dataset:
    """The data set at `root`, or in `Market-1501-v15.09.15` inside it.

    Junk images (person -1) are dropped; distractors (person 0000) stay in the gallery.

    Raises:
        UserError: wrong layout or file names.
    """
    folder = find_folder(root, ("Market-1501-v15.09.15", "market1501"), (TRAIN, QUERY, GALLERY), TITLE)
    train, _ = read_folder(folder / TRAIN, folder, Split.TRAIN)
    query, _ = read_folder(folder / QUERY, folder, Split.QUERY)
    gallery, junk = read_folder(folder / GALLERY, folder, Split.GALLERY)
    notes = [f"{junk} junk images (person -1) left out of the gallery"]
    counts = [
        count_samples(train, "train images", 12_936),
        count_people(train, "train people", 751),
        count_samples(query, "query images", 3_368),
        count_people(query, "query people", 750),
        count_samples(gallery, "gallery images", 15_913),
        Count("junk images left out", junk),
        Count("cameras", len({s.camera_id for s in (*train, *query, *gallery)}), 6),
    ]
    extra: list[Sample] = []
    if options["distractors"] == "yes":
        if not (folder / DISTRACTORS).is_dir():
            raise UserError(
                f"{folder}: distractors=yes, but there is no {DISTRACTORS}/; unpack the 500k distractors there"
            )
        extra, _ = read_folder(folder / DISTRACTORS, folder, Split.GALLERY)
        counts.append(count_samples(extra, "distractors", 500_000))
        notes.append(f"gallery enlarged by {len(extra)} distractors")
    protocol = cross_modal(
        "market1501",
        Modality.RGB,
        Modality.RGB,
        query_splits=(Split.QUERY,),
        gallery_splits=(Split.GALLERY,),
        drop=Drop.SAME_CAMERA,
        notes=tuple(notes),
        source="fast-reid evaluation/rank.py, torchreid metrics/rank.py",
    )
    samples = (*train, *query, *gallery, *extra)
    return Dataset("market1501", folder, samples, (protocol,), tuple(counts), dict(options))


KIND = Kind(
    name="market1501",
    title=TITLE,
    layout=(
        "Market-1501-v15.09.15/bounding_box_train/0002_c1s1_000451_03.jpg\n"
        "Market-1501-v15.09.15/query/\n"
        "Market-1501-v15.09.15/bounding_box_test/\n"
        "Market-1501-v15.09.15/images/  (option distractors=yes)"
    ),
    load=load,
    options={"distractors": Option("no", ("no", "yes"), "add the 500k distractors of images/ to the gallery")},
)
