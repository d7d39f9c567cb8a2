"""A training that has just ended, scored: what a report is written from."""

from __future__ import annotations

from collections.abc import Callable

from distill.evaluation.coordinates import Coordinates, coordinates_of
from distill.evaluation.result import StudentReport, evaluate_student
from distill.training.run import Run
from reid.matrix import score_pairs


def evaluate_run(run: Run, *, say: Callable[[str], None] = print) -> tuple[StudentReport, Coordinates] | None:
    """Score a finished run by its test people, or by its validation people if there are no others.

    Returns:
        None if nobody can be asked for and found at all; `say` is told.

    Raises:
        UserError: an image does not decode.
    """
    dataset = run.source.dataset
    for val in (False, True):
        if score_pairs(dataset, val=val)[1]:
            break
    else:
        say("note: nobody to ask for or to find among test and validation people, so the student is not scored")
        return None
    if val:
        say("note: there are no test people, so the validation people are scored, by whom the checkpoint was chosen")
    student, text = run.module.student, run.module.text
    coordinates = coordinates_of(student, text, run.reader, run.subspace, run.source.store, dataset, val=val)
    return evaluate_student(coordinates), coordinates
