"""The folder of a training under way, `<out>.training`: where it is taken up, and whether it is the same training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from zipfile import is_zipfile

from reid.artifact import write_text
from reid.errors import UserError

SUFFIX = ".training"
_STARTED = "training.json"
_PREFIX = "checkpoint-"
_TRAINER_STATE = "trainer_state.json"


def working_folder(out: Path) -> Path:
    """Where the training that will make `out` keeps its checkpoints."""
    return out.with_name(out.name + SUFFIX)


def open_training(out: Path, recipe: str, about: dict[str, str], *, resume: bool, processes: int) -> Path | None:
    """Begin a training, or find the checkpoint to go on from.

    Args:
        out: what will be made.
        recipe: in full, as text. about: what else must be the same, by name: base, data.
        resume: go on with one that is there.
        processes: how many train; each leaves its state in a checkpoint.

    Returns:
        The newest whole checkpoint; None to begin at the beginning.

    Raises:
        UserError: one is there and `resume` was not asked for, or it is another one; or nothing can be written there.
    """
    folder = working_folder(out)
    described = {**about, "recipe": recipe, "number of processes": str(processes)}
    if (folder / _STARTED).is_file():
        if not resume:
            raise UserError(
                f"{folder}: holds a training that was not finished; go on with --resume, or remove the folder"
            )
        before = json.loads((folder / _STARTED).read_text(encoding="utf-8"))
        differing = sorted(key for key in {*before, *described} if before.get(key) != described.get(key))
        if differing:
            raise UserError(
                f"{folder}: was begun with another {', '.join(differing)}; use the same, or remove the folder"
            )
        return newest_checkpoint(folder, processes)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror}); choose another place") from error
    write_text(folder / _STARTED, json.dumps(described))
    return None


def newest_checkpoint(folder: Path, processes: int = 1) -> Path | None:
    """The newest checkpoint that all processes wrote to its end; those cut short by a kill are removed."""
    found = sorted(folder.glob(f"{_PREFIX}*"), key=lambda path: int(path.name.removeprefix(_PREFIX)), reverse=True)
    for path in found:
        if _is_whole(path, processes):
            return path
        shutil.rmtree(path)
    return None


def _is_whole(checkpoint: Path, processes: int) -> bool:
    """The first process writes the Trainer's state last; of the others there is the state of their random numbers."""
    names = [f"rng_state_{process}.pth" for process in range(processes)] if processes > 1 else ["rng_state.pth"]
    # torch writes a zip file, which ends in its table of contents.
    if not all(is_zipfile(checkpoint / name) for name in names):
        return False
    try:
        json.loads((checkpoint / _TRAINER_STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True
