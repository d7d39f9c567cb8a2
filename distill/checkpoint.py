"""The student artifact, written whole or not at all. Its layout is that of `student.checkpoint`, and beside weights:

recipe.yaml                full settings; reruns the training
neck.safetensors           batch norm and classifier of objective.id, if it trained
spectrum.json              how the coordinates were chosen, and what the projected teacher reaches with them
log.jsonl, tensorboard/    how the training went
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors.torch import save_file

from distill.recipe import dump_recipe
from distill.training.run import Run
from reid.artifact import MANIFEST, ArtifactWriter
from reid.errors import UserError
from student.checkpoint import KIND, SUBSPACE, TEXT, save_weights, tokenizer_folder
from student.counting import count
from teacher.training.state import working_folder

RECIPE, SPECTRUM, NECK, LOG, TENSORBOARD = (
    "recipe.yaml",
    "spectrum.json",
    "neck.safetensors",
    "log.jsonl",
    "tensorboard",
)
_REPLACED = ".replaced"


@contextmanager
def student_writer(run: Run, out: Path, *, overwrite: bool = False) -> Iterator[ArtifactWriter]:
    """Writes the student of a finished run; what the caller adds under `path` becomes part of the artifact.

    Args:
        run: finished. out: the folder to make. overwrite: what lies there is replaced when the new one is whole.
    """
    source = run.source
    parents = [source.store.path, *([source.checkpoint] if source.checkpoint else []), source.dataset.root]
    writer = {"command": "distill run", "recipe": run.recipe.name, "seed": run.recipe.training.seed}
    old = out.with_name(out.name + _REPLACED)
    if overwrite and out.exists():
        _move(out, old)
    try:
        artifact = ArtifactWriter(out, KIND, writer, [p for p in parents if (p / MANIFEST).is_file()])
        with artifact:
            _write(run, artifact.path, working_folder(out))
            artifact.details.update(_details(run))
            yield artifact
    except BaseException:
        if old.exists() and not out.exists():
            _move(old, out)
        raise
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(working_folder(out), ignore_errors=True)


def _write(run: Run, folder: Path, working: Path) -> None:
    module = run.module
    save_weights(module.student, folder)
    run.subspace.save(folder / SUBSPACE)
    if module.text is not None:
        assert run.reader is not None
        save_weights(module.text, folder / TEXT)
        run.reader.tokenizer.save_pretrained(tokenizer_folder(folder))
    if module.neck is not None:
        save_file({k: v.detach().cpu().contiguous() for k, v in module.neck.state_dict().items()}, folder / NECK)
    (folder / RECIPE).write_text(dump_recipe(run.recipe), encoding="utf-8")
    (folder / SPECTRUM).write_text(json.dumps(run.analysis.to_dict(), indent=1) + "\n", encoding="utf-8")
    (folder / LOG).write_text("".join(json.dumps(row) + "\n" for row in run.log), encoding="utf-8")
    for path in working.rglob("events.out.tfevents.*"):
        (folder / TENSORBOARD).mkdir(exist_ok=True)
        shutil.copyfile(path, folder / TENSORBOARD / path.name)


def _details(run: Run) -> dict[str, object]:
    size = count(run.module.student)
    return {
        "student": run.name,
        "rank": run.subspace.rank,
        "teacher": run.subspace.teacher,
        "parameters": size.parameters,
        "gflops": round(size.gflops, 4),
        "dataset": run.source.spec,
        "store": os.path.relpath(run.source.store.path),
        "people": len(run.people),
        "step": run.best_step or run.steps,
        "steps": run.steps,
        "validation": run.scores,
        "text": run.module.text is not None,
    }


def _move(what: Path, where: Path) -> None:
    shutil.rmtree(where, ignore_errors=True)
    try:
        what.rename(where)
    except OSError as error:
        raise UserError(f"{what}: cannot be replaced ({error.strerror}); choose another name") from error
