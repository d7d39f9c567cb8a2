"""Rank lists of an evaluation: which queries, their images and sentences, drawn by `reid.pictures`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from reid.dataset import Dataset
from reid.errors import UserError
from reid.evaluation import Evaluation, Scorer, trial_embeddings
from reid.neighbours import Neighbour, top
from reid.pictures import RankedEntry, RankRow, rank_list
from reid.sample import Sample
from reid.similarity import CosineScores, Floats
from reid.table import SampleTable


def draw_rank_lists(
    result: Evaluation,
    table: SampleTable,
    embeddings: Floats,
    dataset: Dataset,
    *,
    gallery: Floats | None = None,
    scorer: Scorer = CosineScores,
    queries: int = 8,
    places: int = 10,
) -> Image.Image:
    """Draw the rank lists of some queries of an evaluation's first trial, from the worst answered to the best.

    The queries are taken at even steps along the order of their AP, so that the picture flatters nobody.

    Args:
        result: what was scored.
        table, embeddings, gallery: of what.
        dataset: where the images and sentences are.
        scorer: the one that `result` was scored with.
        queries: how many, at most.
        places: how much of each ranking.

    Raises:
        UserError: the data set lacks a sample that is to be drawn, or an image does not decode.
    """
    trial = result.trials[0].trial
    precision = result.trials[0].ranking.average_precision
    answered = np.flatnonzero(~np.isnan(precision))
    order = answered[np.argsort(precision[answered], kind="stable")]
    chosen = order[np.unique(np.linspace(0, order.size - 1, min(queries, order.size)).round().astype(int))]
    scores = scorer(*trial_embeddings(trial, table, embeddings, gallery))
    samples = {s.sample_id: s for s in dataset.samples}
    rows = []
    for query, neighbours in zip(chosen.tolist(), top(scores, trial, chosen, places), strict=True):
        asked = _sample(samples, table, int(trial.query[query]), dataset)
        entries = tuple(_entry(n, samples, table, dataset) for n in neighbours)
        rows.append(RankRow(_shown(asked), entries, f"{asked.person_id}  AP {precision[query]:.2f}"))
    title = f"{result.protocol.name}: mAP {100 * result.mean_ap:.1f}, rank-1 {100 * result.rank1:.1f} ({result.scores})"
    return rank_list(rows, title=title, top=places)


def _entry(neighbour: Neighbour, samples: dict[str, Sample], table: SampleTable, dataset: Dataset) -> RankedEntry:
    sample = _sample(samples, table, neighbour.row, dataset)
    label = sample.person_id if sample.camera_id is None else f"{sample.person_id} {sample.camera_id}"
    return RankedEntry(_shown(sample), neighbour.same, neighbour.score, label)


def _sample(samples: dict[str, Sample], table: SampleTable, row: int, dataset: Dataset) -> Sample:
    name = table.sample_id[row]
    if name not in samples:
        raise UserError(f"{dataset.root}: has no sample '{name}', which the store holds; name its data set with --data")
    return samples[name]


def _shown(sample: Sample) -> Path | str:
    return sample.text or "" if sample.image is None else Path(sample.image)
