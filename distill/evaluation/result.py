"""Everything that `distill eval` says of a student."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan
from typing import Any

from distill.evaluation.agreement import Agreement, agreements, table
from distill.evaluation.coordinates import Coordinates
from distill.evaluation.prefix import PrefixCurve, prefix_curve
from distill.evaluation.scores import Direction, Scores, score
from reid.evaluation import format_table
from reid.modality import Modality
from reid.sample import Split
from teacher.evaluation.tables import cell, rules, to_rows


@dataclass(frozen=True)
class StudentReport:
    """A student beside its teacher.

    Attributes:
        scores: retrieval. agreement: of all samples (key None) and of each modality. prefix: the Matryoshka curve.
        people: how many are scored. samples: theirs.
        val: whether they are the validation people, by whom the checkpoint was chosen, and not the test people.
        rank, dim: of the student's coordinates and of the teacher's embeddings.
        notes: what must be read with the numbers.
    """

    scores: Scores
    agreement: Mapping[Modality | None, Agreement]
    prefix: PrefixCurve
    people: int
    samples: int
    val: bool
    rank: int
    dim: int
    notes: tuple[str, ...] = ()

    @property
    def who(self) -> str:
        """Whose samples they are: "test people" or "validation people"."""
        return "validation people" if self.val else "test people"

    def headline(self) -> str:
        """The table of scores alone."""
        return "\n".join(
            [
                f"{self.people:,} {self.who}; mAP / rank-1 / mINP in per cent, by who embeds query and gallery",
                format_table(self.score_rows()),
            ]
        )

    def score_rows(self) -> list[dict[str, str]]:
        """For a table: a row for each pair of modalities, a column for each direction, mAP / rank-1 / mINP."""
        return [
            {
                "query -> gallery": f"{query} -> {gallery}",
                **{str(direction): cell(self.scores.at(direction, (query, gallery))) for direction in Direction},
                "kept": _percent(self.scores.kept((query, gallery))),
            }
            for query, gallery in self.scores.pairs
        ]

    def __str__(self) -> str:
        notes = [f"- {note}" for note in self.notes]
        parts = [
            [f"{self.people:,} {self.who}, {self.samples:,} samples, {self.rank} of {self.dim} coordinates"],
            [
                "mAP / rank-1 / mINP in per cent, by who embeds the query and who the gallery; kept: share of the "
                "teacher's mAP that the device's gallery gives",
                format_table(self.score_rows()),
                *notes,
            ],
            ["agreement of the student with the teacher's coordinates", format_table(table(self.agreement))],
            [
                f"mAP in {self.prefix.gallery} by the length of the prefix: of the device (of the projected teacher)",
                format_table(self.prefix.rows()),
            ],
            rules(self.scores.found[Direction.TEACHER]),
        ]
        return "\n\n".join("\n".join(part) for part in parts)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without the ranks of single queries; null for what could not be computed."""
        queries = {str(query): value for query, value in self.scores.mean_ap().items()}
        return {
            "people": self.people,
            "samples": self.samples,
            "val": self.val,
            "rank": self.rank,
            "dim": self.dim,
            "gallery": str(self.scores.gallery),
            "deployed_mAP": queries,
            "deployed_by": {str(q): str(self.scores.deployed_direction(q)) for q in self.scores.queries},
            "mean_cross_modal_mAP": _or_null(self.scores.mean_cross_modal()),
            "scores": {str(direction): to_rows(found) for direction, found in self.scores.found.items()},
            "agreement": {"all" if m is None else str(m): a.to_dict() for m, a in self.agreement.items()},
            "prefix": self.prefix.to_dict(),
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def evaluate_student(coordinates: Coordinates, *, progress: bool = False, seed: int = 0) -> StudentReport:
    """Score a student alone, with the cloud, and against its teacher.

    Args:
        coordinates: of the people to score, see `coordinates_of`.
        progress: show a bar for what takes long. seed: of the pairs that are drawn for the agreement.

    Raises:
        UserError: an embedding is NaN or infinite.
    """
    table = coordinates.table
    return StudentReport(
        score(coordinates, progress=progress),
        agreements(coordinates, seed=seed),
        prefix_curve(coordinates),
        people=len(set(table.person_id)),
        samples=len(table),
        val=all(split is Split.VAL for split in table.split),
        rank=coordinates.rank,
        dim=int(coordinates.teacher.shape[1]),
        notes=_notes(coordinates),
    )


def _notes(coordinates: Coordinates) -> tuple[str, ...]:
    if coordinates.answered.all():
        return ()
    return ("the device reads no sentences (there is no text student): the cloud embeds them, asked or searched",)


def _percent(share: float) -> str:
    return "-" if isnan(share) else f"{100 * share:.1f} %"


def _or_null(number: float) -> float | None:
    return None if isnan(number) else number
