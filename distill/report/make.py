"""The report of a run: report.html, README.md and pictures/, in the artifact's folder."""

from __future__ import annotations

from pathlib import Path

from distill.evaluation.coordinates import Coordinates
from distill.evaluation.result import StudentReport
from distill.report import sections
from distill.report.card import CARD, model_card
from distill.report.facts import size_of, teacher_name
from distill.report.pictures import draw_pictures
from distill.training.run import Run
from reid.html import page, paragraph

PAGE, PICTURES = "report.html", "pictures"


def write_report(
    folder: Path, run: Run, evaluated: StudentReport | None = None, coordinates: Coordinates | None = None
) -> None:
    """Write the page, the model card and their pictures.

    Nothing in them depends on when or where they are written, so that equal runs give equal artifacts.

    Args:
        folder: of the artifact that is being written; its weights are there.
        run: finished.
        evaluated, coordinates: scores of the student and what was scored; None where the data has nobody to score.

    Raises:
        UserError: an image that is to be shown does not decode.
    """
    (folder / PICTURES).mkdir(exist_ok=True)
    pictures = draw_pictures(run, evaluated, coordinates, folder / PICTURES)
    shown = [
        sections.about(run, folder),
        sections.training(run, pictures),
        sections.subspace(run, pictures),
        sections.retrieval(evaluated),
        sections.agreement(evaluated),
        sections.prefixes(run, evaluated, pictures),
        sections.rank_lists(evaluated, pictures),
        sections.attention(run, pictures),
        sections.settings(run),
        sections.made_from(run, folder),
    ]
    size = size_of(run)
    below = (
        f"{run.subspace.rank} of {run.subspace.dim} coordinates · recipe {run.recipe.name} · {size.parameters:,} "
        f"weights · {size.gflops:.2f} GFLOPs an image"
    )
    head = paragraph(sections.PRIVACY, "notice") + sections.headline(run, evaluated)
    text = page(f"{run.name}, distilled from {teacher_name(run)}", below, head, shown)
    (folder / PAGE).write_text(text, encoding="utf-8")
    (folder / CARD).write_text(model_card(run, evaluated, folder), encoding="utf-8")
