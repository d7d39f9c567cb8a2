"""RSTPReid: Zhu et al., DSSL: Deep Surroundings-person Separation Learning, ACM MM 2021."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from reid.datasets.captioned import SPLITS, CaptionedSet, Record, Size, kinds
from reid.sample import Split

ISSUES = "github.com/NjtechCVLab/RSTPReid-Dataset"
EARLY_SPLIT = (3_901, 100, 100)
"""People of train, val and test in early downloads of data_captions.json (issue 2 of the authors' repository)."""


def inspect(records: Sequence[Record]) -> tuple[str, ...]:
    """Warnings about the two known defects: the early split, and captions that several people share."""
    return (*_early_split(records), *_shared_captions(records))


def _early_split(records: Sequence[Record]) -> tuple[str, ...]:
    people = tuple(len({r.person_id for r in records if r.split is split}) for split in SPLITS)
    if people != EARLY_SPLIT:
        return ()
    return (
        "data_captions.json has the wrong split of early downloads: 3,901/100/100 people in train/val/test instead of "
        f"3,701/200/200, so scores are not comparable; download it again, see {ISSUES} issue 2",
    )


def _shared_captions(records: Sequence[Record]) -> tuple[str, ...]:
    people: dict[str, set[str]] = defaultdict(set)
    for r in records:
        for caption in r.captions:
            people[caption].add(r.person_id)
    shared = {caption for caption, described in people.items() if len(described) > 1}
    if not shared:
        return ()
    queries = sum(caption in shared for r in records if r.split is Split.TEST for caption in r.captions)
    return (
        f"{len(shared):,} captions describe people of different ids ({queries:,} test queries among them), which no "
        f"method can answer rightly; they are kept, as in every published number, see {ISSUES} issue 5",
    )


SPEC = CaptionedSet(
    name="rstp-reid",
    title="RSTPReid",
    annotations=("data_captions.json",),
    published={
        Split.TRAIN: Size(images=18_505, people=3_701, captions=37_010),
        Split.VAL: Size(images=1_000, people=200, captions=2_000),
        Split.TEST: Size(images=1_000, people=200, captions=2_000),
    },
    example="0000_c5_0022.jpg",
    # Person, camera, number.
    camera=re.compile(r"^\d+_c(\d+)_"),
    inspect=inspect,
)

KIND, TRI, QUAD = kinds(SPEC)
