"""Who stands at the top of a query's ranking: what a rank list shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reid.similarity import ScoreBlocks
from reid.trials import Trial


@dataclass(frozen=True)
class Neighbour:
    """One place of a ranking: the table's row, the score, and whether it is the person asked for."""

    row: int
    score: float
    same: bool


def top(scores: ScoreBlocks, trial: Trial, queries: NDArray[np.int64], k: int) -> list[list[Neighbour]]:
    """The first k gallery entries that count, for some of a trial's queries, in the order in which they are ranked.

    Args:
        scores: Q x G scores of the whole trial, higher is more similar.
        trial: whose queries are numbered.
        queries: which ones.
        k: how many entries each.
    """
    found: dict[int, list[Neighbour]] = {}
    wanted = set(queries.tolist())
    for start, block in scores.blocks():
        for query in wanted & set(range(start, start + len(block))):
            row = np.array(block[query - start])
            drop = trial.query_drop[query]
            if drop >= 0:
                row[trial.gallery_drop == drop] = -np.inf
            order = np.argsort(-row, kind="stable")[:k]
            found[query] = [
                Neighbour(
                    int(trial.gallery[entry]),
                    float(row[entry]),
                    bool(trial.gallery_person[entry] == trial.query_person[query]),
                )
                for entry in order.tolist()
                if np.isfinite(row[entry])
            ]
    return [found[query] for query in queries.tolist()]
