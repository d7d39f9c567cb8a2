"""Score embeddings by a protocol: the table that is printed, the file that is saved, the ranks behind them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reid.artifact import write_text
from reid.errors import UserError
from reid.metrics import Ranking, rank
from reid.progress import progress_bar
from reid.protocol import Protocol
from reid.similarity import CosineScores, Floats, ScoreBlocks, normalise
from reid.table import SampleTable
from reid.trials import Trial, resolve

CMC_LENGTH = 50
AP_VARIANT = "AP is the plain mean of the precision at each positive (not the trapezoidal AP of the 2015 Market script)"

Scorer = Callable[[Floats, Floats], ScoreBlocks]
"""Normalised queries [Q, D] and gallery [G, D] -> their scores; `CosineScores` unless re-ranked."""


@dataclass(frozen=True)
class TrialResult:
    """One trial's sets and ranking, and the scores that follow from them, as shares of 1."""

    trial: Trial
    ranking: Ranking

    @property
    def queries(self) -> int:
        """Queries that were scored."""
        return int(np.count_nonzero(self.ranking.valid))

    @property
    def skipped(self) -> int:
        """Queries without a positive in the gallery; no score counts them."""
        return self.ranking.valid.size - self.queries

    @property
    def mean_ap(self) -> float:
        """mAP."""
        return _mean(self.ranking.average_precision)

    @property
    def mean_inp(self) -> float:
        """mINP."""
        return _mean(self.ranking.inverse_negative_penalty)

    @property
    def cmc(self) -> NDArray[np.float64]:
        """[50] CMC at 1, 2, ..., 50."""
        return self.ranking.cmc(CMC_LENGTH)


@dataclass(frozen=True)
class Evaluation:
    """What a protocol says of embeddings: the mean over its trials, and every query's ranks.

    Attributes:
        protocol: the rule.
        trials: one result per trial.
        sample_ids: of the table that the trials' row numbers refer to.
        scores: what the ranking is by: "cosine", or how it was re-ranked.
    """

    protocol: Protocol
    trials: tuple[TrialResult, ...]
    sample_ids: Sequence[str]
    scores: str = "cosine"

    @property
    def mean_ap(self) -> float:
        """mAP, mean over trials, share of 1."""
        return float(np.mean([t.mean_ap for t in self.trials]))

    @property
    def mean_inp(self) -> float:
        """mINP, mean over trials, share of 1."""
        return float(np.mean([t.mean_inp for t in self.trials]))

    @property
    def cmc(self) -> NDArray[np.float64]:
        """[50] CMC, mean over trials, share of 1."""
        return np.asarray(np.mean([t.cmc for t in self.trials], axis=0))

    @property
    def rank1(self) -> float:
        """CMC at 1, mean over trials, share of 1."""
        return float(self.cmc[0])

    def row(self) -> dict[str, str]:
        """One row of a printed table, in per cent."""
        first = self.trials[0]
        over_trials = [t.mean_ap for t in self.trials]
        spread = f" ± {100 * np.std(over_trials):.1f}" if len(self.trials) > 1 else ""
        skipped = f" ({first.skipped} skipped)" if first.skipped else ""
        return {
            "protocol": self.protocol.name,
            "mAP": f"{100 * self.mean_ap:.2f}{spread}",
            "mINP": f"{100 * self.mean_inp:.2f}",
            **{f"rank-{k}": f"{100 * self.cmc[k - 1]:.2f}" for k in (1, 5, 10)},
            "queries": f"{first.queries}{skipped}",
            "gallery": str(first.trial.gallery.size),
            "trials": str(len(self.trials)),
        }

    def notes(self) -> list[str]:
        """What must be read with the numbers."""
        by = [] if self.scores == "cosine" else [f"scores: {self.scores}"]
        source = [f"source: {self.protocol.source}"] if self.protocol.source else []
        return [AP_VARIANT, *by, *self.protocol.notes, *source]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: protocol, means, and per trial the scores and each query's sample ids, AP and places."""
        return {
            "protocol": self.protocol.to_dict(),
            "scores": self.scores,
            "notes": self.notes(),
            "mAP": self.mean_ap,
            "mINP": self.mean_inp,
            "cmc": self.cmc.tolist(),
            "trials": [self._trial_dict(t) for t in self.trials],
        }

    def save(self, path: Path) -> None:
        """Write `to_dict` as JSON, whole or not at all."""
        write_text(path, json.dumps(self.to_dict(), ensure_ascii=False) + "\n")

    def __str__(self) -> str:
        return "\n".join([format_table([self.row()]), *(f"- {note}" for note in self.notes())])

    def _trial_dict(self, result: TrialResult) -> dict[str, Any]:
        trial, ranking = result.trial, result.ranking
        members = np.split(trial.query_members, trial.query_offsets[1:-1])
        places = np.split(ranking.places, ranking.offsets[1:-1])
        precision = ranking.average_precision
        return {
            "mAP": result.mean_ap,
            "mINP": result.mean_inp,
            "cmc": result.cmc.tolist(),
            "queries": result.queries,
            "skipped": result.skipped,
            "gallery": int(trial.gallery.size),
            "per_query": [
                {
                    "samples": [self.sample_ids[int(row)] for row in rows],
                    "ap": None if not where.size else float(ap),
                    "places": where.tolist(),
                }
                for rows, ap, where in zip(members, precision, places, strict=True)
            ],
        }


def evaluate(
    protocol: Protocol,
    table: SampleTable,
    embeddings: NDArray[np.floating],
    *,
    gallery: NDArray[np.floating] | None = None,
    scorer: Scorer = CosineScores,
    scores: str = "cosine",
    progress: bool = False,
) -> Evaluation:
    """Score embeddings [n, D] of the samples in `table` [n] by a protocol.

    Args:
        protocol: the rule.
        table: the samples' columns.
        embeddings: their embeddings, any float dtype; they are normalised here.
        gallery: [n, D] embeddings that stand for the samples in the gallery, if others than for the queries: two
            models in one space.
        scorer: how similarity is computed.
        scores: the scorer's name, for the notes.
        progress: show a bar if it takes over two seconds.

    Raises:
        UserError: an embedding that takes part is NaN, infinite or zero (sample ids are named); an empty query or
            gallery set; no query has a positive.
    """
    results = []
    bar = progress_bar(what=protocol.name, unit="queries", shown=progress)
    for trial in resolve(protocol, table):
        asking, asked = trial_embeddings(trial, table, embeddings, gallery)
        bar.total = protocol.trials * len(asking)
        results.append(TrialResult(trial, rank(scorer(asking, asked), trial, protocol.cmc, bar.update)))
        if not results[-1].queries:
            raise UserError(
                f"protocol '{protocol.name}': none of the {trial.query_person.size} queries has a positive among the "
                f"{trial.gallery.size} gallery samples; check person ids, camera ids and splits"
            )
    bar.close()
    return Evaluation(protocol, tuple(results), table.sample_id, scores)


def trial_embeddings(
    trial: Trial,
    table: SampleTable,
    embeddings: NDArray[np.floating],
    gallery_embeddings: NDArray[np.floating] | None = None,
) -> tuple[Floats, Floats]:
    """Normalised queries [Q, D] (members fused) and gallery [G, D] of a trial, which may have embeddings of its own.

    Raises:
        UserError: one of them is NaN, infinite or zero; its sample id is named.
    """
    names = table.sample_id
    # Indexing by an array copies, so the copy is normalised in place: a gallery is held once beside the embeddings.
    query = normalise(embeddings[trial.query_members], _Named(names, trial.query_members), copy=False)
    others = embeddings if gallery_embeddings is None else gallery_embeddings
    gallery = normalise(others[trial.gallery], _Named(names, trial.gallery), copy=False)
    if len(query) > trial.query_person.size:
        query = normalise(np.add.reduceat(query, trial.query_offsets[:-1], axis=0))
    return query, gallery


class _Named(Sequence[str]):
    """names[rows[i]] without making the list: it is only read when something is wrong."""

    def __init__(self, names: Sequence[str], rows: NDArray[np.int64]) -> None:
        self._names, self._rows = names, rows

    def __len__(self) -> int:
        return self._rows.size

    def __getitem__(self, index: Any) -> Any:
        return self._names[int(self._rows[index])]


def mean_row(results: Sequence[Evaluation]) -> dict[str, str]:
    """The row of several evaluations by one protocol, such as the ten splits of RegDB: means, and the mAP's spread."""
    first = results[0].row()
    cmc = np.mean([r.cmc for r in results], axis=0)
    return {
        **first,
        "mAP": f"{100 * np.mean([r.mean_ap for r in results]):.2f} ± {100 * np.std([r.mean_ap for r in results]):.1f}",
        "mINP": f"{100 * np.mean([r.mean_inp for r in results]):.2f}",
        **{f"rank-{k}": f"{100 * cmc[k - 1]:.2f}" for k in (1, 5, 10)},
    }


def format_table(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows with equal keys as an aligned table; the first column to the left, the others to the right."""
    names = list(rows[0])
    widths = [max(len(name), *(len(row[name]) for row in rows)) for name in names]

    def line(cells: Sequence[str]) -> str:
        first, *rest = (
            c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))
        )
        return "  ".join([first, *rest]).rstrip()

    return "\n".join([line(names), line(["-" * w for w in widths]), *(line([r[n] for n in names]) for r in rows)])


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
