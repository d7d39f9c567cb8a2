"""`distill spectrum`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from reid.cli.options import open_stores
from reid.errors import UserError


def _rank(context: click.Context, option: click.Parameter, value: str) -> Any:
    from distill.settings import parse_rank

    try:
        return parse_rank(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, option) from error


@click.command("spectrum")
@click.argument("store", required=False, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="The folder to make. Default: runs/spectrum/STORE.")
@click.option(
    "--rank",
    default="auto",
    show_default=True,
    callback=_rank,
    metavar="auto|energy:SHARE|K",
    help="auto: the fewest coordinates that keep what the teacher retrieves.",
)
@click.option(
    "--basis",
    type=click.Choice(["principal", "between", "random", "full", "phi-s"]),
    default="principal",
    show_default=True,
    help="between: of the people's means; random: a control; full, phi-s: all dimensions.",
)
@click.option(
    "--centre",
    type=click.Choice(["shared", "modality", "none"]),
    default="shared",
    show_default=True,
    help="What is taken off first: one mean, one of each modality, or nothing.",
)
@click.option("--normalise", type=click.Choice(["unit", "layer_norm"]), default="unit", show_default=True)
@click.option("--min-rank", type=click.IntRange(1), default=8, show_default=True)
@click.option("--max-rank", type=click.IntRange(1), default=256, show_default=True)
@click.option("--multiple", type=click.IntRange(1), default=8, show_default=True, help="Ranks are rounded up to it.")
@click.option(
    "--tolerance", type=click.FloatRange(0), default=0.1, show_default=True, help="Points of mAP that auto may lose."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the random basis.")
@click.option("--processes", type=click.IntRange(1), default=1, show_default=True, help="That share the pass.")
@click.option("--overwrite", is_flag=True, help="Replace the spectrum that lies at --out.")
def spectrum(store: Path | None, out: Path | None, processes: int, overwrite: bool, **options: Any) -> None:
    """How many coordinates of a teacher's space hold what tells people apart.

    Measures the training people of an embedding store (the newest, if none is named), chooses a rank by what the
    projected teacher still retrieves of the validation people, and writes the subspace, all figures and pictures.
    """
    from pydantic import ValidationError

    from distill.settings import Spectrum
    from distill.spectrum.folder import refuse_taken, write
    from distill.spectrum.make import make_subspace

    try:
        settings = Spectrum(**options)
    except ValidationError as error:
        raise UserError(str(error.errors()[0]["msg"]).removeprefix("Value error, ")) from error
    opened = open_stores([] if store is None else [store])[0]
    place = out or Path("runs/spectrum") / opened.path.resolve().name
    refuse_taken(place, overwrite=overwrite)
    subspace, analysis = make_subspace(opened, settings, processes=processes)
    for warning in analysis.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(str(analysis))
    for path in write(place, opened, settings, subspace, analysis, overwrite=overwrite):
        click.echo(f"wrote {path}")
