"""Retrieval by the first k' of k coordinates: ordered by importance, each prefix is an embedding of its own.

The curve is that of Matryoshka representations (Kusupati and others, arXiv 2205.13147), which principal coordinates
are without being trained for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from distill.evaluation.coordinates import Coordinates
from distill.evaluation.scores import Direction, possible, sides
from distill.spectrum.ceiling import geometric
from reid.evaluation import evaluate
from reid.modality import Modality

Curves = Mapping[Modality, tuple[float, ...]]
"""Query modality -> mAP in per cent at each length."""


@dataclass(frozen=True)
class PrefixCurve:
    """mAP against the length of the prefix.

    Attributes:
        lengths: ascending, the last is all k. gallery: the modality that is searched.
        edge: what the device's gallery answers to its own queries, or to the cloud's where it cannot read them.
        cloud: the same of the projected teacher alone, which is the student's ceiling.
    """

    lengths: tuple[int, ...]
    gallery: Modality
    edge: Curves
    cloud: Curves

    def rows(self) -> list[dict[str, str]]:
        """For a table: a row for each length, "edge (cloud)" for each query modality."""
        return [
            {"length": str(length), **{str(query): self._cell(query, place) for query in self.cloud}}
            for place, length in enumerate(self.lengths)
        ]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "gallery": str(self.gallery),
            "lengths": list(self.lengths),
            "edge": {str(query): list(curve) for query, curve in self.edge.items()},
            "cloud": {str(query): list(curve) for query, curve in self.cloud.items()},
        }

    def _cell(self, query: Modality, place: int) -> str:
        own = f"{self.edge[query][place]:.1f}" if query in self.edge else "-"
        return f"{own} ({self.cloud[query][place]:.1f})"


def prefix_curve(coordinates: Coordinates, lengths: Sequence[int] | None = None) -> PrefixCurve:
    """Score prefixes, every query modality in the gallery that people are searched in.

    Args:
        coordinates: of the samples. lengths: which; a geometric list from 2 to k, if None: by one number alone all
            cosines are 1 or -1, and a ranking of equals says nothing.

    Raises:
        UserError: an embedding is NaN or infinite.
    """
    k = coordinates.rank
    wanted = [*geometric(k), k] if lengths is None else lengths
    chosen = tuple(sorted({min(length, k) for length in wanted}))
    queries = [query for query, gallery in coordinates.pairs if gallery is coordinates.gallery]
    edge: dict[Modality, tuple[float, ...]] = {}
    cloud: dict[Modality, tuple[float, ...]] = {}
    for query in queries:
        pair = query, coordinates.gallery
        for direction in (Direction.EDGE_TO_EDGE, Direction.CLOUD_TO_EDGE):
            if possible(coordinates, direction, pair):
                edge[query] = _curve(coordinates, direction, query, chosen)
                break
        cloud[query] = _curve(coordinates, Direction.CLOUD_TO_CLOUD, query, chosen)
    return PrefixCurve(chosen, coordinates.gallery, edge, cloud)


def _curve(
    coordinates: Coordinates, direction: Direction, query: Modality, lengths: Sequence[int]
) -> tuple[float, ...]:
    protocol = coordinates.pairs[query, coordinates.gallery]
    found = []
    for length in lengths:
        asking, asked = sides(coordinates, direction, length)
        found.append(100 * evaluate(protocol, coordinates.table, asking, gallery=asked).mean_ap)
    return tuple(found)
