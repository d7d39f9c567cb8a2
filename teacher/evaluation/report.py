"""The tables and pictures of `teacher eval`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import isnan
from pathlib import Path

from reid.artifact import replacing
from reid.dataset import Dataset
from reid.embeddings import EmbeddingStore
from reid.errors import UserError
from reid.evaluation import Evaluation, evaluate, format_table
from reid.matrix import matrix_protocols
from reid.modality import Modality
from reid.protocol import on_validation
from reid.rank_lists import draw_rank_lists
from reid.sample import Split
from reid.table import SampleTable
from teacher.evaluation.space import Gap, gaps
from teacher.evaluation.space_map import draw_map
from teacher.evaluation.tables import cell, rules, save_report, to_rows

Scores = dict[tuple[Modality, Modality], Evaluation]


@dataclass(frozen=True)
class Report:
    """What `teacher eval` says.

    Attributes:
        scores: query and gallery modality -> evaluation.
        gaps: how the modalities lie to each other.
        table: the samples that the evaluations' rows refer to.
    """

    scores: Scores
    gaps: list[Gap]
    table: SampleTable

    def __str__(self) -> str:
        cells = {pair: cell(result) for pair, result in self.scores.items()}
        galleries = [m for m in Modality if any(gallery is m for _, gallery in cells)]
        rows = [
            {"query \\ gallery": str(query), **{str(g): cells.get((query, g), "-") for g in galleries}}
            for query in Modality
            if any(asked is query for asked, _ in cells)
        ]
        lines = ["mAP / rank-1 / mINP in per cent", format_table(rows), ""]
        lines += rules(self.scores)
        spaces = ["", format_table([gap.row() for gap in self.gaps])] if self.gaps else []
        return "\n".join([*lines, *spaces])

    def to_json(self) -> str:
        """All of it, without the ranks; null where no two samples show one person, or no two show different people."""
        spaces = [
            {"modalities": [str(g.one), str(g.other)], "centre_distance": g.centres, "cosine_same": _or_null(g.same),
             "cosine_different": _or_null(g.different)}
            for g in self.gaps
        ]  # fmt: skip
        return (
            json.dumps({"scores": to_rows(self.scores), "gaps": spaces}, indent=1, ensure_ascii=False, allow_nan=False)
            + "\n"
        )


def report(store: EmbeddingStore, *, val: bool = False) -> Report:
    """Score a store, every modality against every modality.

    Args:
        store: what to score. val: the validation people instead of the test people.

    Raises:
        UserError: there is nothing to score.
    """
    published = list(store.protocols)
    splits: tuple[Split, ...] = ()
    if val:
        splits = (Split.VAL,)
        published = [on_validation(p) for p in published if p.query_groups is None and p.galleries is None]
    table, pairs = matrix_protocols(store.table, published, *splits)
    if not pairs:
        raise UserError(f"{store.path}: nobody to ask for or nobody to find among its {store.table.describe()}")
    embeddings = store.embeddings()
    scores = {pair: evaluate(protocol, table, embeddings, progress=True) for pair, protocol in pairs.items()}
    rows = _scored_rows(table, splits or (Split.TEST, Split.QUERY, Split.GALLERY))
    return Report(scores, gaps(_only(table, rows), embeddings[rows]), table)


def draw(
    result: Report, store: EmbeddingStore, dataset: Dataset, out: Path, *, val: bool = False, queries: int = 8
) -> list[Path]:
    """Write the pictures into `out`: a rank list for each query modality, and the map; returns their paths."""
    embeddings = store.embeddings()
    written = []
    for (query, gallery), scored in result.scores.items():
        if gallery is not Modality.RGB:
            continue
        path = out / f"rank-list-{query}-to-{gallery}.png"
        picture = draw_rank_lists(scored, result.table, embeddings, dataset, queries=queries)
        with replacing(path) as part:
            picture.save(part, "png")
        written.append(path)
    rows = _scored_rows(result.table, (Split.VAL,) if val else (Split.TEST, Split.QUERY, Split.GALLERY))
    draw_map(_only(result.table, rows), embeddings[rows], out / "map.png")
    return [*written, out / "map.png"]


def save(result: Report, out: Path) -> None:
    """Write report.txt and report.json into `out`, which is made.

    Raises:
        UserError: they cannot be written.
    """
    save_report(out, str(result), result.to_json())


def _or_null(number: float) -> float | None:
    return None if isnan(number) else number


def _scored_rows(table: SampleTable, splits: tuple[Split, ...]) -> list[int]:
    return [row for row, split in enumerate(table.split) if split in splits]


def _only(table: SampleTable, rows: list[int]) -> SampleTable:
    return SampleTable(
        *([column[row] for row in rows] for column in (
            table.sample_id, table.person_id, table.modality, table.split, table.camera_id, table.source_id
        ))  # type: ignore[arg-type]
    )  # fmt: skip
