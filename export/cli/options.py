"""Options that several commands share, and what they stand for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from export.batch import PRECISIONS

if TYPE_CHECKING:
    from export.pipeline import Request

Decorated = TypeVar("Decorated", bound=Callable[..., object])

STUDENT = "student"
"""`student.checkpoint.KIND`, which takes torch to import."""
_DEFAULT = ("fp32", "fp16")
_HELP = {
    "fp32": "A graph in fp32.",
    "fp16": "A graph in fp16, with what would overflow in fp32. With --fp32 the default.",
    "bf16": "A graph in bf16, for TensorRT 10 or newer.",
    "int8": "Graphs in int8, for TensorRT 10 or newer and for CPUs.",
}

precision_options = [click.option(f"--{name}", is_flag=True, help=_HELP[name]) for name in PRECISIONS]
image_options = [
    click.option("--data", help="KIND:ROOT or a path: calibrate and check on these. Default: the student's own data."),
    click.option(
        "--data-set", "settings", multiple=True, metavar="OPTION=VALUE", help="An option of the data set's loader."
    ),
    click.option(
        "--calibration", type=click.IntRange(1), default=32, show_default=True,
        help="Images of each modality that ranges are measured on.",
    ),
    click.option(
        "--check", type=click.IntRange(1), default=32, show_default=True,
        help="Images of each modality that a precision is judged by.",
    ),
    click.option(
        "--retrieval", "per_modality", type=click.IntRange(1), default=200, show_default=True,
        help="Samples of each modality, at most, of the retrieval before and after.",
    ),
    click.option(
        "--precision-backend", "backend", type=click.Choice(["range", "autocast"]), default="range", show_default=True,
        help="What decides which nodes are fp16: ranges of activations, or NVIDIA Model Optimizer.",
    ),
    click.option("--opset", type=click.IntRange(16, 21), help="Default: what the targets' TensorRT reads."),
    click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Which images."),
    click.option("--allow-drift", is_flag=True, help="Write a precision although it misses its bar."),
]  # fmt: skip
batch_option = click.option(
    "--batch", default="1,8,16", show_default=True, metavar="MIN,OPT,MAX", help="Batches that engines are built for."
)


def graph_options(command: Decorated) -> Decorated:
    """All that decides which graphs are made and how they are proved."""
    for option in reversed([*precision_options, batch_option, *image_options]):
        command = option(command)
    return command


def check_options(targets: tuple[str, ...], batch: str, out: Path | None) -> None:
    """Refuse what cannot be, before anything heavy is imported.

    Raises:
        UserError: a target or a batch that cannot be, or an output that is there.
    """
    from export.batch import parse_batch
    from export.targets import find_target

    for name in targets:
        find_target(name)
    parse_batch(batch)
    if out is not None:
        refuse_taken(out)


def say(line: str) -> None:
    """A line of progress, on stderr."""
    click.echo(line, err=True)


def request_of(targets: tuple[str, ...], batch: str, **given: Any) -> Request:
    """What `graph_options` say, once `check_options` has passed them."""
    from export.batch import parse_batch
    from export.pipeline import Request

    precisions = tuple(name for name in PRECISIONS if given.pop(name)) or _DEFAULT
    return Request(precisions=precisions, targets=targets, profile=parse_batch(batch), **given)


def student_or_newest(student: Path | None) -> Path:
    """The student that is named, or the newest under ./runs, which is said.

    Raises:
        UserError: there is none, or what is named is none.
    """
    from reid.artifact import expect_kind, newest

    if student is None:
        student = newest(STUDENT, Path("runs"))
        say(f"taking the newest student, {student}")
    else:
        expect_kind(student, STUDENT)
    return student


def refuse_taken(out: Path) -> None:
    """Refuse an output that is there already, before any work is done.

    Raises:
        UserError: it is.
    """
    from reid.errors import UserError

    if out.exists():
        raise UserError(f"{out}: already exists; choose another name with --out, or remove it first")
