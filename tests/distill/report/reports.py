"""What the tests of the report look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from distill.evaluation.coordinates import Coordinates
from distill.evaluation.result import StudentReport
from distill.training.run import Run

NASTY = '<b>people</b> & "others"'


@dataclass(frozen=True)
class Reported:
    """A finished artifact with a report, and what the report is of."""

    folder: Path
    run: Run
    evaluated: StudentReport
    coordinates: Coordinates
