"""The whole of `distill run`, for the command line and for Python."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distill import DEFAULT_RECIPE
from distill.checkpoint import student_writer
from distill.embedder import StudentEmbedder
from distill.evaluation.pictures import save
from distill.evaluation.run import evaluate_run
from distill.recipe import load_recipe
from distill.report.make import PAGE, write_report
from distill.settings import DistillRecipe
from distill.source import open_source, with_views
from distill.training.run import Run, distil
from reid.artifact import newest
from reid.dataset import Dataset
from reid.datasets import open_dataset
from reid.embeddings import KIND as STORE
from reid.errors import UserError
from reid.sample import Sample
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
    report: bool = True,
    say: Callable[[str], None] = print,
) -> Run | None:
    """Distil a teacher into a student artifact at `out`.

    Args:
        out: the folder to make. teacher: a checkpoint or a store; None: the newest.
        name: of the student in the zoo. recipe: the method.
        dataset, spec: the data and what the user calls it; None: what the store was made from.
        device, resume, overwrite, say: as for `distill.training.run.distil`.
        report: score the student on the test people and write report.html, its pictures and a model card.

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
    found = evaluate_run(run, say=say) if report else None
    evaluated, coordinates = found or (None, None)
    with student_writer(run, out, overwrite=overwrite) as artifact:
        if evaluated is not None:
            save(evaluated, artifact.path)
        if report:
            write_report(artifact.path, run, evaluated, coordinates)
    if evaluated is not None:
        say(evaluated.headline())
    say(f"wrote {out}" + (f": validation mAP {run.scores['mAP']:.1f}" if run.scores else ""))
    if report:
        say(f"look at {out / PAGE}")
    return run


def _newest(dataset: Dataset | None) -> Path:
    """A store, if there is one and nobody says what data; otherwise a checkpoint."""
    kinds = (TEACHER,) if dataset is not None else (STORE,)
    return newest(kinds[0], Path("runs"))


class Distiller:
    """`distill run` from Python.

    >>> from distill import Distiller
    >>> distiller = Distiller(teacher="runs/teacher/mllmembed", student="vit-s").fit("people")  # doctest: +SKIP
    >>> distiller.embed(samples)  # float32 [n, k], in the teacher's principal coordinates  # doctest: +SKIP

    Args:
        teacher: folder of a teacher checkpoint or of its embedding store.
        student: name in the zoo.
        recipe: name of a recipe, path of one, or settings.
        out: the artifact to make; runs/student/STUDENT-RECIPE by default.
        device: "auto", "cpu" or "cuda".
        changes: of the recipe, with dots written as two underscores: `training__epochs=[20]`, `spectrum__rank=16`.

    Attributes:
        path: where the artifact is.
        run: what was learnt, after `fit`: subspace, validation scores, log, the trained modules.
    """

    def __init__(
        self,
        teacher: str | Path,
        student: str = "vit-s",
        *,
        recipe: str | DistillRecipe = DEFAULT_RECIPE,
        out: str | Path | None = None,
        device: str = "auto",
        **changes: object,
    ) -> None:
        options = [f"{key.replace('__', '.')}={json.dumps(value)}" for key, value in changes.items()]
        if isinstance(recipe, DistillRecipe):
            if options:
                raise ValueError("changes go with the name of a recipe, not with settings")
            self.recipe = recipe
        else:
            self.recipe = load_recipe(recipe, options)
        self.teacher, self.student, self.device = Path(teacher), student, device
        self.path = Path(out) if out is not None else Path("runs/student") / f"{student}-{self.recipe.name}"
        self.run: Run | None = None

    def fit(
        self,
        data: str | Path | Dataset | None = None,
        *,
        resume: bool = False,
        overwrite: bool = False,
        say: Callable[[str], None] = print,
    ) -> Distiller:
        """Distil, and write the artifact.

        Args:
            data: KIND:ROOT, a path, or a data set; None: what the store was made from.
            resume: go on with one that was interrupted. overwrite: begin anew. say: prints a line.

        Raises:
            UserError: as `distil_to`.
        """
        spec = "" if data is None or isinstance(data, Dataset) else str(data)
        dataset = data if isinstance(data, Dataset) else open_dataset(spec) if spec else None
        self.run = distil_to(
            self.path, self.teacher, self.student, self.recipe, dataset=dataset, spec=spec, device=self.device,
            resume=resume, overwrite=overwrite, say=say,
        )  # fmt: skip
        return self

    def embed(self, samples: Sequence[Sample]) -> NDArray[np.float32]:
        """Coordinates float32 [n, k] of samples by the student, not normalised.

        Raises:
            ValueError: before `fit`; or a sentence, and no text student was distilled.
        """
        if self.run is None:
            raise ValueError("nothing was distilled yet; call fit first")
        return StudentEmbedder(self.run.module.student, self.run.module.text, self.run.reader).embed(samples)
