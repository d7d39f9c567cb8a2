"""Outcomes over seeds as one table: mean +- standard deviation, and how far each method is from the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, nan, sqrt

import numpy as np

from distill.compare.outcome import Outcome
from distill.evaluation.scores import Direction
from reid.evaluation import format_table

CROSS_MODAL = "cross-modal"


@dataclass(frozen=True)
class Spread:
    """n values: their mean, and their sample standard deviation (n - 1), which is NaN for fewer than two."""

    mean: float
    std: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of values; the mean of none is NaN."""
        mean = float(np.mean(values)) if values else nan
        std = float(np.std(values, ddof=1)) if len(values) > 1 else nan
        return cls(mean, std, len(values))

    def __str__(self) -> str:
        if isnan(self.mean):
            return "-"
        return f"{self.mean:.1f}" if isnan(self.std) else f"{self.mean:.1f} ± {self.std:.1f}"


def distance(first: Spread, other: Spread) -> float:
    """How many pooled standard deviations `other` is above `first`; negative below, NaN if nothing is known of them.

    The pooled variance is ((n1 - 1) s1^2 + (n2 - 1) s2^2) / (n1 + n2 - 2), so this is Cohen's d.
    """
    freedom = first.count + other.count - 2
    if isnan(first.std) or isnan(other.std) or freedom < 1:
        return nan
    pooled = sqrt(((first.count - 1) * first.std**2 + (other.count - 1) * other.std**2) / freedom)
    return (other.mean - first.mean) / pooled if pooled > 0 else nan


def spreads(outcomes: Sequence[Outcome]) -> dict[str, dict[str, Spread]]:
    """Recipe -> column (query modality, `CROSS_MODAL`, "rank", "seconds") -> spread, in the order of the outcomes."""
    found: dict[str, dict[str, Spread]] = {}
    for recipe in dict.fromkeys(outcome.recipe for outcome in outcomes):
        mine = [outcome for outcome in outcomes if outcome.recipe == recipe]
        found[recipe] = {
            **{q: Spread.of([o.deployed[q] for o in mine if q in o.deployed]) for q in queries(outcomes)},
            CROSS_MODAL: Spread.of([o.cross_modal for o in mine if o.cross_modal is not None]),
            "rank": Spread.of([float(o.rank) for o in mine]),
            "seconds": Spread.of([o.seconds for o in mine if o.seconds is not None]),
        }
    return found


def queries(outcomes: Sequence[Outcome]) -> list[str]:
    """The query modalities, in the order of the modalities."""
    return list(dict.fromkeys(query for outcome in outcomes for query in outcome.mean_ap[str(Direction.TEACHER)]))


def rows(outcomes: Sequence[Outcome]) -> list[dict[str, str]]:
    """For `format_table`: a row for the teacher, then one for each recipe."""
    found = spreads(outcomes)
    first = next(iter(found.values()))
    asked, gallery = queries(outcomes), outcomes[0].gallery
    against = f"to {next(iter(found))}"
    teacher = outcomes[0].mean_ap[str(Direction.TEACHER)]
    across = [value for query, value in teacher.items() if query != gallery]
    table = [
        {
            "recipe": "(teacher)", "seeds": "", "rank": "", **{q: f"{teacher[q]:.1f}" for q in asked},
            CROSS_MODAL: f"{np.mean(across):.1f}" if across else "-", against: "", "seconds": "",
        }
    ]  # fmt: skip
    for recipe, columns in found.items():
        table.append(
            {
                "recipe": recipe,
                "seeds": str(sum(outcome.recipe == recipe for outcome in outcomes)),
                "rank": _whole(columns["rank"]),
                **{query: str(columns[query]) for query in asked},
                CROSS_MODAL: str(columns[CROSS_MODAL]),
                against: "" if columns is first else _against(first[CROSS_MODAL], columns[CROSS_MODAL]),
                "seconds": _whole(columns["seconds"]),
            }
        )
    return table


def describe(outcomes: Sequence[Outcome], notes: Sequence[str] = ()) -> str:
    """The table with what must be read with it."""
    gallery = outcomes[0].gallery
    lines = [
        f"mAP in per cent on test people, each modality asking for {gallery}; mean ± standard deviation over seeds",
        format_table(rows(outcomes)),
        f"- {CROSS_MODAL}: mean over the query modalities other than {gallery}",
        "- difference to the first recipe: in points of it, then in pooled standard deviations",
    ]
    told = {outcome.sentences for outcome in outcomes} - {None}
    if str(Direction.CLOUD_TO_EDGE) in told:
        lines.append("- sentences: as the cloud embeds them, in the device's gallery")
    if str(Direction.EDGE_TO_EDGE) in told:
        lines.append("- sentences: by the text student" + (", where there is one" if len(told) > 1 else ""))
    if any(outcome.seconds is None for outcome in outcomes):
        lines.append("- seconds: of trainings that were not interrupted")
    return "\n".join([*lines, *(f"- {note}" for note in notes)])


def _against(first: Spread, other: Spread) -> str:
    if isnan(first.mean) or isnan(other.mean):
        return "-"
    far = distance(first, other)
    return f"{other.mean - first.mean:+.1f}" + ("" if isnan(far) else f" ({far:+.1f} sd)")


def _whole(spread: Spread) -> str:
    return "-" if isnan(spread.mean) else f"{spread.mean:.0f}"
