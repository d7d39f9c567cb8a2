"""`export bench`."""

from __future__ import annotations

from pathlib import Path

import click

from reid.cli.options import OutputFile


@click.command("bench")
@click.argument("places", nargs=-1, type=click.Path(path_type=Path), metavar="[FOLDER|FILE]...")
@click.option(
    "--student",
    type=click.Path(path_type=Path),
    help="The reference. Default: what the graphs were made from, if it is under ./runs.",
)
@click.option("--no-student", is_flag=True, help="Without torch as the reference.")
@click.option("--batch", "batches", default="1,8,16", show_default=True, help="Crops at once, with commas between.")
@click.option("--threads", type=click.IntRange(0), default=0, help="Of one operator. Default: all cores.")
@click.option("--rounds", type=click.IntRange(1), default=30, show_default=True, help="How often each is timed.")
@click.option("--out", type=OutputFile(".json"), help="A .json to write the numbers to.")
def bench_command(
    places: tuple[Path, ...],
    student: Path | None,
    no_student: bool,
    batches: str,
    threads: int,
    rounds: int,
    out: Path | None,
) -> None:
    """Time graphs and engines side by side on this machine.

    Names are .onnx files, OpenVINO's .xml, or folders and unpacked bundles that hold some. Every graph runs in ONNX
    Runtime and, if it is installed, in OpenVINO; the student in torch is the reference. Rounds are interleaved, so
    whatever else the machine does meets all alike. What cannot be run is listed with the reason.

    \b
    reid export bench runs/onnx --student runs/student --batch 1,16 --threads 2
    """
    import json
    import os

    # Before torch is imported: its threads would spin while another engine has its turn.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    from export.bench.run import run_bench, student_of
    from reid.artifact import write_text
    from reid.errors import UserError

    try:
        sizes = sorted({int(word) for word in batches.split(",")})
    except ValueError:
        sizes = []
    if not sizes or sizes[0] < 1:
        raise UserError(f"--batch {batches}: expected numbers from 1 up with commas between, such as 1,8,16")
    if not places and student is None:
        raise UserError("nothing to time; name .onnx files or a folder that reid export onnx made, or a --student")
    if student is None and not no_student:
        student = student_of(places)
        if student is not None:
            click.echo(f"taking {student}, which they were made from, as the reference", err=True)
    bench = run_bench(places, student, sizes, threads=threads, rounds=rounds)
    click.echo(str(bench))
    if out is not None:
        write_text(out, json.dumps(bench.to_dict(), indent=1) + "\n")
        click.echo(f"wrote {out}")
