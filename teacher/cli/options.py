"""Options that several commands share, and what they stand for. --help imports no torch, a command that runs does."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from reid.artifact import newest, read_manifest
from reid.errors import UserError

if TYPE_CHECKING:
    import torch

    from teacher.teacher import Teacher

Decorated = TypeVar("Decorated", bound=Callable[..., object])

data_option = click.option(
    "--data-set",
    "settings",
    multiple=True,
    metavar="OPTION=VALUE",
    help="An option of the data set's loader; repeatable.",
)
base_option = click.option("--base", help="The multimodal LLM: a folder, or an id on the hub.")
revision_option = click.option("--revision", help="Of the hub id.")
recipe_option = click.option(
    "--recipe", "recipe_name", help="Name of a recipe (teacher recipes), or a path to a .yaml file."
)
set_option = click.option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change the recipe: --set training.seed=1; repeatable."
)
device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="auto: a GPU if there is one.",
)
dtype_option = click.option(
    "--dtype",
    type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
    default="auto",
    show_default=True,
    help="Of the weights. auto: bf16 on a GPU, fp32 on a CPU.",
)
merge_option = click.option(
    "--merge/--no-merge",
    default=None,
    help="Add the adapter to the weights, which is faster and rounds once more below fp32. Default: for fp32.",
)
batch_option = click.option("--batch", type=click.IntRange(1), default=64, show_default=True, help="Samples per pass.")


def teacher_options(command: Decorated) -> Decorated:
    """What names a teacher: a checkpoint, or a base and a recipe; and what it runs on."""
    for option in (merge_option, dtype_option, device_option, set_option, recipe_option, revision_option, base_option):
        command = option(command)
    return command


def choose_device(name: str) -> torch.device:
    """The device for --device.

    Raises:
        UserError: cuda was asked for and there is none.
    """
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: no GPU is there; use --device cpu")
    if name == "cpu" or not torch.cuda.is_available():
        if name == "auto":
            note("running on the CPU: no GPU is there")
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())


def open_teacher(
    checkpoint: Path | None,
    *,
    base: str | None,
    revision: str | None,
    recipe_name: str | None,
    changes: tuple[str, ...],
    device: str,
    dtype: str,
    merge: bool | None,
) -> Teacher:
    """The teacher that the options name: a checkpoint (the newest, if nothing is named), or an untrained base.

    Raises:
        UserError: it cannot be loaded, or the options do not go together.
    """
    import torch

    from teacher.backbone import load_backbone
    from teacher.checkpoint import KIND, bare_teacher, load_teacher
    from teacher.recipe import load_recipe

    if checkpoint is None and base is None:
        checkpoint = newest(KIND, Path("runs"))
        note(f"taking the newest teacher, {checkpoint}")
    where = choose_device(device)
    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    kind = dtypes.get(dtype) or (torch.bfloat16 if where.type == "cuda" else torch.float32)
    if checkpoint is None:
        assert base is not None
        recipe = load_recipe(recipe_name or "mllmembed", changes)
        backbone = load_backbone(base, recipe.image, revision=revision, device=where, dtype=kind)
        return bare_teacher(backbone, recipe)
    if recipe_name or changes or revision:
        raise UserError(
            f"{checkpoint}: a checkpoint has its recipe; --recipe, --set and --revision go with a bare --base"
        )
    merge = kind is torch.float32 if merge is None else merge
    return load_teacher(checkpoint, base=base, device=where, dtype=kind, merge=merge)


def is_kind(folder: Path, kind: str) -> bool:
    """Whether an artifact of this kind lies at `folder`."""
    try:
        return read_manifest(folder).kind == kind
    except UserError:
        return False


def note(line: str) -> None:
    """On standard error, by one process where torchrun started several."""
    if os.environ.get("RANK", "0") == "0":
        click.echo(line, err=True)
