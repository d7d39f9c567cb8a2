"""`export onnx`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from export.cli.options import check_options, graph_options, refuse_taken, request_of, say, student_or_newest


@click.command("onnx")
@click.argument("student", required=False, type=click.Path(path_type=Path))
@graph_options
@click.option(
    "--target",
    "targets",
    multiple=True,
    help="A device that must read the graphs (reid export trt --help); repeatable.",
)
@click.option("--out", type=click.Path(path_type=Path), help="The folder to make. Default: runs/onnx/STUDENT.")
def onnx_command(student: Path | None, out: Path | None, targets: tuple[str, ...], batch: str, **given: Any) -> None:
    """Write a student as ONNX graphs: one file each, and the proof that each still recognises people.

    The newest student, if none is named. A precision is judged against the fp32 student on images of every modality,
    every tensor rounded to the type that it has; one that misses its bar keeps more in fp32, or is not written.

    \b
    reid export onnx runs/student/vit-s-adaptive-svd --fp32 --fp16
    reid export onnx --int8 --data people --out runs/onnx/cpu
    """
    check_options(targets, batch, out)
    student = student_or_newest(student)
    place = out or Path("runs/onnx") / student.resolve().name
    refuse_taken(place)
    try:
        from export.pipeline import write_onnx

        report = write_onnx(student, place, request_of(targets, batch, **given), say)
    except KeyboardInterrupt:
        say(f"stopped: nothing was written to {place}")
        raise click.Abort from None
    click.echo(report)
    names = ", ".join(sorted(path.name for path in place.glob("*.onnx")))
    click.echo(f"wrote {place}: {names}; the report above is its parity.txt")
