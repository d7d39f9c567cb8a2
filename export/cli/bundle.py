"""`export bundle`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from export.cli.options import check_options, graph_options, refuse_taken, request_of, say, student_or_newest


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

    The newest student, if none is named. A precision that misses its bar keeps more in fp32, or nothing is written. The
    check crops are images of people: give the bundle to nobody who may not have them.

    \b
    reid export bundle --fp16 --target orin-nano --out bundle.tar.zst
    reid export bundle runs/student/vit-s --fp32 --fp16 --int8 --sign release.pem
    """
    from export.bundle.archive import refuse_ending

    targets = targets or _newer_jetsons()
    check_options(targets, batch, out)
    if out is not None:
        refuse_ending(out)
    signer = None if key is None else _fingerprint(key)
    student = student_or_newest(student)
    place = out or Path("runs/bundle") / student.resolve().name
    refuse_taken(place)
    try:
        from export.pipeline import make_bundle

        made = make_bundle(student, place, request_of(targets, batch, **given), key=key, say=say)
    except KeyboardInterrupt:
        say(f"stopped: nothing was written to {place}")
        raise click.Abort from None
    signed = "not signed (--sign)" if signer is None else f"signed by key {signer}: pin its public key on the device"
    click.echo(f"wrote {made}, {_bytes(made) / 1e6:.1f} MB, for {', '.join(targets)}; {signed}")
    click.echo(f"its proof is reports/parity.txt; check it with: reid export check {made}")


def _fingerprint(key: Path) -> str:
    from export.bundle.sign import key_fingerprint

    return key_fingerprint(key)


def _bytes(made: Path) -> int:
    files = [made] if made.is_file() else [path for path in made.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files)


def _newer_jetsons() -> tuple[str, ...]:
    """All but the Xavier: for its TensorRT 8.5 every graph would have to do without LayerNormalization."""
    from export.targets import TARGETS

    return tuple(target.name for target in TARGETS.values() if target.kind == "jetson" and target.min_trt != "8.5")
