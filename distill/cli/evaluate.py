"""`distill eval`."""

from __future__ import annotations

from pathlib import Path

import click

from distill.cli.options import data_options, device_option, named_data


@click.command("eval")
@click.argument("student", required=False, type=click.Path(path_type=Path), metavar="[STUDENT]")
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    help="The teacher's store, if it has moved, or another of the same teacher. Default: the one it was made from.",
)
@data_options
@click.option("--val", is_flag=True, help="Score the validation people instead of the test people.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for report.txt, report.json and pictures."
)
@click.option(
    "--queries", type=click.IntRange(1), default=8, show_default=True, help="How many queries a rank list shows."
)
@click.option("--batch", type=click.IntRange(1), default=64, show_default=True, help="Samples per pass of the student.")
@device_option
def evaluate_command(
    student: Path | None,
    store: Path | None,
    data: str | None,
    settings: tuple[str, ...],
    val: bool,
    out: Path | None,
    queries: int,
    batch: int,
    device: str,
) -> None:
    """Score a student: alone, together with the cloud, and against its teacher.

    Every modality asks for every modality, with the query and the gallery each embedded by the device (edge) or by the
    teacher, projected to the student's coordinates (cloud). Then how far the student agrees with the teacher, and what
    a prefix of its output still retrieves. With --out, rank lists and the curve of the prefixes are drawn. Without
    STUDENT, the newest one under ./runs is scored.
    """
    from distill.evaluation.artifact import open_distilled
    from distill.evaluation.pictures import draw, save
    from distill.evaluation.result import evaluate_student
    from reid.artifact import newest
    from student.checkpoint import KIND

    if student is None:
        student = newest(KIND, Path("runs"))
        click.echo(f"taking the newest student, {student}", err=True)
    dataset, spec = named_data(data, settings)
    found = open_distilled(student, store, dataset, spec, device=device, say=lambda line: click.echo(line, err=True))
    coordinates = found.coordinates(val=val, batch=batch)
    result = evaluate_student(coordinates, progress=True)
    click.echo(str(result))
    if out is not None:
        for path in (*save(result, out), *draw(result, coordinates, found.source.dataset, out, queries=queries)):
            click.echo(f"wrote {path}")
