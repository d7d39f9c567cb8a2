"""Runs of a comparison one after another; what is finished is kept, what is under way is gone on with."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import isnan
from pathlib import Path
from typing import Any

from distill.compare.outcome import Outcome, outcome_of, training_seconds
from distill.compare.plan import Entry, differences, expect_made_by, plan
from distill.compare.table import describe, spreads
from distill.distiller import distil_to
from distill.source import open_source
from distill.training.run import Source
from reid.artifact import read_manifest, write_text
from reid.dataset import Dataset
from reid.errors import UserError
from reid.matrix import score_pairs
from student.zoo import find_student
from teacher.training.state import working_folder

JSON, TEXT = "compare.json", "compare.txt"
Say = Callable[[str], None]


@dataclass
class Comparison:
    """Methods side by side.

    Attributes:
        entries: all runs. student: name in the zoo. source: the teacher's store and the data.
        changes: that were made to all recipes.
        outcomes: label -> what a run reached. failed: label -> why it did not end.
    """

    entries: Sequence[Entry]
    student: str
    source: Source
    changes: Sequence[str] = ()
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def ended(self) -> list[Outcome]:
        """Outcomes, recipe by recipe in the order in which they were named."""
        order = list(dict.fromkeys(entry.recipe.name for entry in self.entries))
        found = [self.outcomes[entry.label] for entry in self.entries if entry.label in self.outcomes]
        return sorted(found, key=lambda outcome: (order.index(outcome.recipe), outcome.seed))

    def __str__(self) -> str:
        notes = differences(self.entries)
        notes += [f"{label} failed: {why}" for label, why in self.failed.items()]
        missing = len(self.entries) - len(self.outcomes) - len(self.failed)
        notes += [f"{missing} of {len(self.entries)} runs are still to come"] if missing else []
        return describe(self.ended, notes) if self.outcomes else "\n".join(f"- {note}" for note in notes)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "student": self.student,
            "store": self.source.store.manifest.sha256,
            "data": self.source.store.fingerprint.get("data", ""),
            "changes": list(self.changes),
            "recipes": list(dict.fromkeys(entry.recipe.name for entry in self.entries)),
            "seeds": sorted({entry.seed for entry in self.entries}),
            "summary": {
                recipe: {
                    column: {"mean": _or_null(s.mean), "std": _or_null(s.std), "count": s.count}
                    for column, s in columns.items()
                }
                for recipe, columns in spreads(self.ended).items()
            },
            "runs": [outcome.to_dict() for outcome in self.ended],
            "failed": self.failed,
        }

    def save(self, out: Path) -> None:
        """Write compare.json and compare.txt."""
        write_text(out / JSON, json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        write_text(out / TEXT, f"{self}\n")


def compare(
    out: Path,
    teacher: Path,
    student: str,
    recipes: Sequence[str],
    *,
    seeds: int = 3,
    changes: Sequence[str] = (),
    dataset: Dataset | None = None,
    spec: str = "",
    device: str = "auto",
    say: Say = print,
) -> Comparison:
    """Distil by every recipe with every seed into `out`/RECIPE-SEED, score each on the test people, write one table.

    The same call goes on where it was stopped. A run that fails is told of and left out; the first one must not fail.

    Args:
        out: the folder of all runs. teacher: a checkpoint or a store. student: name in the zoo.
        recipes: names or paths; differences are told to the first. seeds: how many. changes: `--set`, to all recipes.
        dataset, spec: the data and what the user calls it; None: what the store was made from.
        device: "auto", "cpu" or "cuda". say: prints a line.

    Raises:
        UserError: something the user can cure.
        KeyboardInterrupt: after Ctrl-C; the run under way left a checkpoint.
    """
    find_student(student)
    entries = plan(recipes, seeds, changes, out)
    source = open_source(teacher, dataset, spec, device=device, say=say)
    if not score_pairs(source.dataset)[1]:
        raise UserError(f"{source.dataset.root}: nobody to ask for or to find among its test people; nothing to score")
    for entry in entries:
        if entry.place.exists():
            expect_made_by(entry, student, source.store.manifest.sha256)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror}); choose another place") from error
    comparison = Comparison(entries, student, source, changes)
    known = _known(out / JSON)
    for note in differences(entries):
        say(f"note: {note}")
    for number, entry in enumerate(entries, 1):
        say(f"[{number}/{len(entries)}] {entry.label}")
        try:
            comparison.outcomes[entry.label] = _outcome(entry, comparison, known, dataset, spec, device, say)
        except UserError as error:
            if not comparison.outcomes:
                raise
            comparison.failed[entry.label] = str(error)
            say(f"failed: {error}")
        comparison.save(out)
    return comparison


def _outcome(
    entry: Entry,
    comparison: Comparison,
    known: dict[str, Outcome],
    dataset: Dataset | None,
    spec: str,
    device: str,
    say: Say,
) -> Outcome:
    """Of a run that is kept, gone on with, or begun."""
    seconds: float | None = None
    if entry.place.exists():
        say(f"{entry.place} is finished and kept")
        before = known.get(read_manifest(entry.place).sha256)
        if before is not None:
            return before
    else:
        begun = working_folder(entry.place).exists()
        # The store, not the checkpoint: the teacher need not be loaded again for each run.
        store = comparison.source.store.path
        distil_to(
            entry.place, store, comparison.student, entry.recipe, dataset=dataset, spec=spec, device=device,
            resume=begun, report=False, say=say,
        )  # fmt: skip
        seconds = None if begun else training_seconds(entry.place)
    return outcome_of(entry.place, entry.recipe.name, entry.seed, comparison.source, device=device, seconds=seconds)


def _known(path: Path) -> dict[str, Outcome]:
    """sha256 of a student's manifest -> outcome, of an earlier call; what cannot be read is scored again."""
    try:
        runs = json.loads(path.read_text(encoding="utf-8"))["runs"]
        outcomes = [Outcome(**run) for run in runs]
    except (OSError, ValueError, TypeError, KeyError):
        return {}
    return {outcome.artifact: outcome for outcome in outcomes}


def _or_null(number: float) -> float | None:
    return None if isnan(number) else number
