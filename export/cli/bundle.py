"""`export bundle`."""

from __future__ import annotations

from pathlib import Path

import click

PRECISIONS = ("fp32", "fp16", "bf16", "int8")


@click.command("bundle")
@click.argument("student", required=False, type=click.Path(path_type=Path))
@click.option("--fp32", is_flag=True, help="A graph in fp32.")
@click.option("--fp16", is_flag=True, help="A graph in fp16; the default, together with fp32.")
@click.option("--bf16", is_flag=True, help="A graph in bf16, for TensorRT 10 or newer.")
@click.option("--int8", is_flag=True, help="A graph in int8, and an OpenVINO model where OpenVINO is installed.")
@click.option(
    "--target", "targets", multiple=True, help="A device that gets a recipe; repeatable. Default: all Jetsons."
)
@click.option("--batch", default="1,8,16", show_default=True, metavar="MIN,OPT,MAX", help="Batches of its engines.")
@click.option("--workspace", type=click.IntRange(16), default=1024, show_default=True, help="MiB to build with.")
@click.option("--data", help="KIND:ROOT or a path: calibrate and check on these. Default: the student's own data.")
@click.option("--set", "settings", multiple=True, metavar="OPTION=VALUE", help="An option of the data set's loader.")
@click.option("--sign", "key", type=click.Path(path_type=Path), help="Sign with this private key (PEM, Ed25519).")
@click.option("--allow-drift", is_flag=True, help="Write a precision although it misses its bar.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="A folder, .tar.zst or .tar. Default: runs/bundle/STUDENT."
)
def bundle_command(
    student: Path | None,
    targets: tuple[str, ...],
    batch: str,
    workspace: int,
    data: str | None,
    settings: tuple[str, ...],
    key: Path | None,
    allow_drift: bool,
    out: Path | None,
    **chosen: bool,
) -> None:
    """Put all that a device needs into one folder or archive: graphs, recipes, check crops, reports.

    The newest student, if none is named. A precision that misses its bar is not written.

    \b
    export bundle --fp16 --target orin-nano --out bundle.tar.zst
    export bundle runs/student/vit-s --fp32 --fp16 --int8 --sign release.pem
    """
    from export.batch import parse_batch
    from export.bundle.sign import key_fingerprint
    from export.pipeline import Request, make_bundle
    from export.targets import find_target
    from reid.artifact import newest
    from reid.errors import UserError

    precisions = tuple(name for name in PRECISIONS if chosen[name]) or ("fp32", "fp16")
    for name in targets:
        find_target(name)
    profile = parse_batch(batch)
    signer = None if key is None else key_fingerprint(key)
    if student is None:
        student = newest("student", Path("runs"))
        click.echo(f"taking the newest student, {student}")
    place = out or Path("runs/bundle") / student.resolve().name
    if place.exists():
        raise UserError(f"{place}: already exists; choose another name with --out or remove it first")
    request = Request(
        precisions=precisions, targets=targets or _newer_jetsons(), profile=profile, data=data, settings=settings,
        allow_drift=allow_drift, workspace=workspace,
    )  # fmt: skip
    try:
        made = make_bundle(student, place, request, key=key, say=click.echo)
    except KeyboardInterrupt:
        raise click.Abort from None
    if signer is not None:
        click.echo(f"signed by key {signer}: pin it on the device with its public key")
    click.echo(f"wrote {made}")


def _newer_jetsons() -> tuple[str, ...]:
    """All but the Xavier: for its TensorRT 8.5 every graph would have to do without LayerNormalization."""
    from export.targets import TARGETS

    return tuple(target.name for target in TARGETS.values() if target.kind == "jetson" and target.min_trt != "8.5")
