"""The whole of `distill run`, for the command line and for Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from distill.checkpoint import student_writer
from distill.settings import DistillRecipe
from distill.source import open_source, with_views
from distill.training.run import Run, distil
from reid.artifact import newest
from reid.dataset import Dataset
from reid.embeddings import KIND as STORE
from reid.errors import UserError
from teacher.checkpoint import KIND as TEACHER


def distil_to(
    out: Path,
    teacher: Path | None,
    name: str,
    recipe: DistillRecipe,
    *,
    dataset: Dataset | None = None,
    spec: str = "",
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
) -> Run | None:
    """Distil a teacher into a student artifact at `out`.

    Args:
        out: the folder to make. teacher: a checkpoint or a store; None: the newest.
        name: of the student in the zoo. recipe: the method.
        dataset, spec: the data and what the user calls it; None: what the store was made from.
        device, resume, overwrite, say: as for `distill.training.run.distil`.

    Returns:
        The run; None on all processes but the first.

    Raises:
        UserError: something the user can cure. KeyboardInterrupt: after Ctrl-C; a checkpoint was written.
    """
    if out.exists() and not overwrite:
        raise UserError(f"{out}: already exists; choose another name, or --overwrite it")
    if teacher is None:
        teacher = _newest(dataset)
        say(f"taking the newest teacher, {teacher}")
    source = open_source(teacher, dataset, spec, device=device, say=say)
    source = with_views(source, recipe, device=device, say=say)
    run = distil(source, name, recipe, out, device=device, resume=resume, overwrite=overwrite, say=say)
    if run is None:
        return None
    with student_writer(run, out, overwrite=overwrite):
        pass
    say(f"wrote {out}" + (f": validation mAP {run.scores['mAP']:.1f}" if run.scores else ""))
    return run


def _newest(dataset: Dataset | None) -> Path:
    """A store, if there is one and nobody says what data; otherwise a checkpoint."""
    kinds = (TEACHER,) if dataset is not None else (STORE,)
    return newest(kinds[0], Path("runs"))
