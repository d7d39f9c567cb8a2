"""Retrieval for every pair of modalities, with either side on the device or in the cloud."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np

from distill.evaluation.coordinates import Coordinates, Floats
from reid.evaluation import Evaluation, evaluate
from reid.modality import Modality

Pair = tuple[Modality, Modality]
"""Query modality, gallery modality."""


class Direction(str, Enum):
    """Who embeds the query, and who the gallery."""

    EDGE_TO_EDGE = "edge to edge"
    EDGE_TO_CLOUD = "edge to cloud"
    CLOUD_TO_EDGE = "cloud to edge"
    CLOUD_TO_CLOUD = "cloud to cloud"
    TEACHER = "teacher"
    """Both by the teacher, in all its dimensions."""

    def __str__(self) -> str:
        return self.value

    @property
    def query_on_edge(self) -> bool:
        """Whether the device embeds the query."""
        return self in (Direction.EDGE_TO_EDGE, Direction.EDGE_TO_CLOUD)

    @property
    def gallery_on_edge(self) -> bool:
        """Whether the device embeds the gallery."""
        return self in (Direction.EDGE_TO_EDGE, Direction.CLOUD_TO_EDGE)


@dataclass(frozen=True)
class Scores:
    """All evaluations.

    Attributes:
        found: direction -> pair of modalities -> evaluation; a pair is absent where the device cannot read a side.
        pairs: all pairs, in the order of the modalities. gallery: the modality that people are searched in.
    """

    found: Mapping[Direction, Mapping[Pair, Evaluation]]
    pairs: tuple[Pair, ...]
    gallery: Modality

    @property
    def queries(self) -> tuple[Modality, ...]:
        """The modalities that ask for people in `gallery`."""
        return tuple(query for query, searched in self.pairs if searched is self.gallery)

    def at(self, direction: Direction, pair: Pair) -> Evaluation | None:
        """An evaluation, if there is one."""
        return self.found[direction].get(pair)

    def deployed(self, pair: Pair) -> Evaluation | None:
        """What the device's gallery answers: to its own queries, or to the cloud's where it cannot read a query."""
        return self.at(Direction.EDGE_TO_EDGE, pair) or self.at(Direction.CLOUD_TO_EDGE, pair)

    def deployed_direction(self, query: Modality) -> Direction:
        """Who embeds a query of this modality in `deployed`."""
        own = self.at(Direction.EDGE_TO_EDGE, (query, self.gallery))
        return Direction.CLOUD_TO_EDGE if own is None else Direction.EDGE_TO_EDGE

    def mean_ap(self, direction: Direction | None = None) -> dict[Modality, float]:
        """Query modality -> mAP in per cent in `gallery`; of `deployed`, if no direction is named."""
        found = {}
        for query in self.queries:
            pair = query, self.gallery
            result = self.deployed(pair) if direction is None else self.at(direction, pair)
            if result is not None:
                found[query] = 100 * result.mean_ap
        return found

    def mean_cross_modal(self, direction: Direction | None = None) -> float:
        """Mean over the query modalities other than `gallery` of `mean_ap`; NaN if there is none."""
        across = [value for query, value in self.mean_ap(direction).items() if query is not self.gallery]
        return float(np.mean(across)) if across else float("nan")

    def kept(self, pair: Pair) -> float:
        """Share of the teacher's mAP that `deployed` reaches; NaN where the device's gallery cannot be searched."""
        ours, theirs = self.deployed(pair), self.at(Direction.TEACHER, pair)
        if ours is None or theirs is None or not theirs.mean_ap:
            return float("nan")
        return ours.mean_ap / theirs.mean_ap


def score(coordinates: Coordinates, *, progress: bool = False) -> Scores:
    """Score every pair of modalities in every direction that the device can take part in.

    Args:
        coordinates: of the samples. progress: show a bar for what takes long.

    Raises:
        UserError: an embedding is NaN or infinite.
    """
    found: dict[Direction, dict[Pair, Evaluation]] = {}
    for direction in Direction:
        asking, asked = sides(coordinates, direction)
        found[direction] = {
            pair: evaluate(protocol, coordinates.table, asking, gallery=asked, progress=progress)
            for pair, protocol in coordinates.pairs.items()
            if possible(coordinates, direction, pair)
        }
    return Scores(found, tuple(coordinates.pairs), coordinates.gallery)


def sides(coordinates: Coordinates, direction: Direction, length: int | None = None) -> tuple[Floats, Floats]:
    """The embeddings of all samples as queries and as gallery; `length`: only their first coordinates."""
    if direction is Direction.TEACHER:
        whole = usable(coordinates.teacher[:, :length])
        return whole, whole
    edge, cloud = usable(coordinates.edge[:, :length]), usable(coordinates.cloud[:, :length])
    return (edge if direction.query_on_edge else cloud), (edge if direction.gallery_on_edge else cloud)


def possible(coordinates: Coordinates, direction: Direction, pair: Pair) -> bool:
    """Whether the device can read what it has to in this direction."""
    query, gallery = pair
    return (not direction.query_on_edge or coordinates.reads(query)) and (
        not direction.gallery_on_edge or coordinates.reads(gallery)
    )


def usable(embeddings: Floats) -> Floats:
    """The same, with a direction where there was none.

    A sample exactly at the centre of the teacher's space has coordinates 0. All such get one direction.
    """
    lost = np.flatnonzero(~embeddings.any(axis=1))
    if not lost.size:
        return embeddings
    given = embeddings.copy()
    given[lost] = 1
    return given
