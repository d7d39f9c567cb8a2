"""`export trt`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from export.cli.options import batch_option, check_options, image_options, say, student_or_newest


def _with_image_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(image_options):
        command = option(command)
    return command


@click.command("trt")
@click.argument("source", required=False, type=click.Path(path_type=Path), metavar="[STUDENT|BUNDLE|ONNX]")
@click.option("--fp16", "precision", flag_value="fp16", default=True, help="Half precision where it is safe. Default.")
@click.option("--bf16", "precision", flag_value="bf16", help="bfloat16 where it is safe.")
@click.option("--int8", "precision", flag_value="int8", help="Quantised; needs images to calibrate on.")
@click.option("--fp32", "precision", flag_value="fp32", help="As the student was trained.")
@click.option(
    "--target", default="host", show_default=True, help="host, rtx-ampere, orin-nano, ...; all are named above."
)
@batch_option
@click.option("--tokens", help="MIN,OPT,MAX tokens of a sentence, for an ONNX file of the text student.")
@click.option("--workspace", type=click.IntRange(1), help="MiB for a layer's scratch. Default: TensorRT's choice.")
@click.option("--level", type=click.IntRange(0, 5), help="How long to search for fast kernels. Default: TensorRT's, 3.")
@click.option("--version-compatible", is_flag=True, help="Loads in later TensorRTs, too; slower.")
@click.option("--weight-stripped", is_flag=True, help="Without weights; the device puts them in from the ONNX file.")
@click.option("--hardware-compatible", is_flag=True, help="Runs on later discrete GPUs, too; slower.")
@click.option("--timing-cache", type=click.Path(path_type=Path, dir_okay=False), help="Kernel timings of this machine.")
@click.option("--dla", type=click.IntRange(0), help="Which deep learning accelerator takes the layers it can.")
@click.option("--trt", "module", type=click.Choice(["tensorrt", "tensorrt-rtx"]), help="Default: whichever fits.")
@click.option("--out", type=click.Path(path_type=Path), help="Default: runs/engine/NAME-TARGET-PRECISION.")
@click.option("--keep-proof", type=click.Path(path_type=Path), help="Keep an engine that only proves the graph here.")
@_with_image_options
def trt_command(
    source: Path | None,
    precision: str,
    target: str,
    batch: str,
    tokens: str | None,
    workspace: int | None,
    level: int | None,
    version_compatible: bool,
    weight_stripped: bool,
    hardware_compatible: bool,
    timing_cache: Path | None,
    dla: int | None,
    module: str | None,
    out: Path | None,
    keep_proof: Path | None,
    **images: Any,
) -> None:
    """Build a TensorRT engine, where the target's engines can be built here.

    With TensorRT and the GPU: builds, judges the engine itself against the fp32 student, and times it. With
    TensorRT-RTX and no GPU: builds ahead of time for rtx-* targets; for a Jetson, builds for the nearest chip to prove
    that the graph parses and builds, and makes the bundle that the Jetson builds its own engine from. With neither:
    makes the bundle and says what is missing.

    Targets: host, rtx-turing, a100, rtx-ampere, rtx-ada, rtx-blackwell, orin-nano, orin-nano-super, orin-nx, agx-orin,
    thor, xavier.

    \b
    reid export trt runs/student/vit-s-adaptive-svd --fp16
    reid export trt --fp16 --target rtx-ada --batch 1,8,32
    reid export trt runs/onnx/student.fp16.onnx --target orin-nano
    """
    from edge_runtime.engines.tensorrt.modules import look_around
    from edge_runtime.engines.tensorrt.options import BuildOptions
    from export.batch import parse_batch
    from export.targets import find_target
    from reid.errors import UserError

    check_options((target,), batch, None)
    if source is None:
        source = student_or_newest(None)
    elif not source.exists():
        raise UserError(f"{source}: is not there; name a student's folder, a bundle's, or an ONNX file")
    options = BuildOptions(
        precision, parse_batch(batch), parse_batch(tokens, "--tokens") if tokens else None, workspace, level,
        version_compatible, weight_stripped, hardware_compatible, timing_cache, dla,
    )  # fmt: skip
    try:
        from export.pipeline import Request
        from export.tensorrt.make import EngineRequest, make_engine

        request = EngineRequest(source, find_target(target), options, Request(**images), out, keep_proof)
        made = make_engine(request, look_around(module), say)
    except KeyboardInterrupt:
        say("stopped: no engine was written")
        raise click.Abort from None
    click.echo(str(made))
