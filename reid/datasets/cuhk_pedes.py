"""CUHK-PEDES: Li et al., Person Search with Natural Language Description, CVPR 2017."""

from __future__ import annotations

from reid.datasets.captioned import CaptionedSet, Size, kinds
from reid.sample import Split

SPEC = CaptionedSet(
    name="cuhk-pedes",
    title="CUHK-PEDES",
    annotations=("reid_raw.json",),
    published={
        Split.TRAIN: Size(images=34_054, people=11_003, captions=68_126),
        Split.VAL: Size(images=3_078, people=1_000, captions=6_158),
        Split.TEST: Size(images=3_074, people=1_000, captions=6_156),
    },
    example="{cam_a,cam_b,CUHK01,CUHK03,Market,test_query,train_query}/p10376_s14337.jpg",
)

KIND, TRI, QUAD = kinds(SPEC)
