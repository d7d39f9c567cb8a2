"""A small run with its report, made once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from reports import NASTY, Reported

from distill.checkpoint import student_writer
from distill.evaluation.coordinates import coordinates_of
from distill.evaluation.result import evaluate_student
from distill.report.make import write_report
from distill.settings import DistillRecipe
from distill.training.run import Source, distil


@pytest.fixture(scope="session")
def reported(
    source: Source, recipe: Callable[..., DistillRecipe], tmp_path_factory: pytest.TempPathFactory
) -> Reported:
    """Of a data set whose name is hard on HTML."""
    out = tmp_path_factory.mktemp("report") / "student"
    named = replace(source, spec=NASTY)
    run = distil(named, "vit-micro", recipe(), out, device="cpu", say=lambda line: None)
    assert run is not None
    module = run.module
    coordinates = coordinates_of(module.student, module.text, run.reader, run.subspace, source.store, source.dataset)
    evaluated = evaluate_student(coordinates)
    with student_writer(run, out) as artifact:
        write_report(artifact.path, run, evaluated, coordinates)
    return Reported(out, run, evaluated, coordinates)
