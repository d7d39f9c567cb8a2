"""`export torch-trt`."""

from __future__ import annotations

from pathlib import Path

import click

from export.cli.options import batch_option, check_options, refuse_taken, say, student_or_newest


@click.command("torch-trt")
@click.argument("student", required=False, type=click.Path(path_type=Path))
@click.option("--fp16", "precision", flag_value="fp16", default=True, help="Half precision beside fp32. Default.")
@click.option("--bf16", "precision", flag_value="bf16", help="bfloat16 beside fp32.")
@click.option("--fp32", "precision", flag_value="fp32", help="fp32 alone.")
@batch_option
@click.option("--workspace", type=click.IntRange(1), help="MiB for a layer's scratch. Default: TensorRT's choice.")
@click.option("--exported-program-only", "program_only", is_flag=True, help="Without Torch-TensorRT and a GPU.")
@click.option("--out", type=click.Path(path_type=Path), help="The folder to make. Default: runs/torch-trt/STUDENT.")
def torch_trt_command(
    student: Path | None, precision: str, batch: str, workspace: int | None, program_only: bool, out: Path | None
) -> None:
    """Write a student as an ExportedProgram, and compile it with Torch-TensorRT where that is installed.

    Makes student.pt2 (plain PyTorch), and on a host with torch-tensorrt and an NVIDIA GPU a program with engines inside
    (student.fp16.torch-trt.pt2) and one engine by itself (student.fp16.engine).

    \b
    reid export torch-trt runs/student/vit-s-adaptive-svd --fp16 --batch 1,8,16
    reid export torch-trt --exported-program-only
    """
    from export.batch import parse_batch

    check_options((), batch, out)
    profile = parse_batch(batch)
    student = student_or_newest(student)
    place = out or Path("runs/torch-trt") / student.resolve().name
    refuse_taken(place)
    try:
        from export.torch_tensorrt.make import make_programs

        made = make_programs(student, place, precision, profile, say, program_only=program_only, workspace=workspace)
    except KeyboardInterrupt:
        say(f"stopped: nothing was written to {place}")
        raise click.Abort from None
    click.echo(f"wrote {made}")
