"""Who is this: people, open-set decisions, re-ranking, centring and tracklets over a gallery's exact search."""

from __future__ import annotations

from edge_runtime.search.identify import Answer, identify
from edge_runtime.search.people import Candidate
from edge_runtime.search.rules import AGGREGATES, ReRanking, Rules, Searchable
from edge_runtime.search.tracklet import fuse, quality, sharpness

__all__ = [
    "AGGREGATES",
    "Answer",
    "Candidate",
    "ReRanking",
    "Rules",
    "Searchable",
    "fuse",
    "identify",
    "quality",
    "sharpness",
]
