"""ICFG-PEDES: Ding et al., Semantically Self-Aligned Network for Text-to-Image Person Re-identification, 2021.

Photographs of MSMT17. The folders below `imgs/` are MSMT17's train and test; the split is that of the JSON file.
"""

from __future__ import annotations

import re

from reid.datasets.captioned import CaptionedSet, Size, kinds
from reid.sample import Split

SPEC = CaptionedSet(
    name="icfg-pedes",
    title="ICFG-PEDES",
    annotations=("ICFG-PEDES.json", "ICFG_PEDES.json"),
    published={
        Split.TRAIN: Size(images=34_674, people=3_102, captions=34_674),
        Split.TEST: Size(images=19_848, people=1_000, captions=19_848),
    },
    example="{train,test}/0627/0627_010_05_0303afternoon_1591_0.jpg",
    # As in MSMT17: person, image, camera.
    camera=re.compile(r"^\d+_\d+_(\d+)_"),
)

KIND, TRI, QUAD = kinds(SPEC)
