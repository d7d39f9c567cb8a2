"""`export bundle`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from export.cli.options import graph_options, refuse_taken, request_of, student_or_newest


@click.command("bundle")
@click.argument("student", required=False, type=click.Path(path_type=Path))
@graph_options
@click.option(
    "--target", "targets", multiple=True, help="A device that gets a recipe; repeatable. Default: Orins, Thor."
)
@click.option(
    "--workspace", type=click.IntRange(16), default=1024, show_default=True, help="MiB to build an engine with."
)
@click.option("--sign", "key", type=click.Path(path_type=Path), help="Sign with this private key (PEM, Ed25519).")
@click.option(
    "--out", type=click.Path(path_type=Path), help="A folder, .tar.zst or .tar. Default: runs/bundle/STUDENT."
)
def bundle_command(
    student: Path | None, targets: tuple[str, ...], batch: str, key: Path | None, out: Path | None, **given: Any
) -> None:
    """Put all that a device needs into one folder or archive: graphs, recipes, check crops, reports.

    The newest student, if none is named. A precision that misses its bar keeps more in fp32, or nothing is written.

    \b
    reid export bundle --fp16 --target orin-nano --out bundle.tar.zst
    reid export bundle runs/student/vit-s --fp32 --fp16 --int8 --sign release.pem
    """
    from export.bundle.sign import key_fingerprint
    from export.pipeline import make_bundle

    request = request_of(targets or _newer_jetsons(), batch, **given)
    signer = None if key is None else key_fingerprint(key)
    student = student_or_newest(student)
    place = out or Path("runs/bundle") / student.resolve().name
    refuse_taken(place)
    try:
        made = make_bundle(student, place, request, key=key, say=lambda line: click.echo(line, err=True))
    except KeyboardInterrupt:
        raise click.Abort from None
    if signer is not None:
        click.echo(f"signed by key {signer}: pin it on the device with its public key")
    click.echo(f"wrote {made}")


def _newer_jetsons() -> tuple[str, ...]:
    """All but the Xavier: for its TensorRT 8.5 every graph would have to do without LayerNormalization."""
    from export.targets import TARGETS

    return tuple(target.name for target in TARGETS.values() if target.kind == "jetson" and target.min_trt != "8.5")
