"""`reid data derive`."""

from __future__ import annotations

from pathlib import Path

import click

from reid.cli.options import data_argument, loader_options, read_data, skip_broken_option
from reid.modality import Modality


@click.command()
@data_argument
@loader_options
@click.option(
    "--modality",
    "modalities",
    type=click.Choice(["ir", "sketch"]),
    multiple=True,
    default=("ir", "sketch"),
    show_default=True,
    help="What to make; repeatable.",
)
@click.option("--ir-style", multiple=True, help="Of the infrared views; repeatable. Default: a mixture.")
@click.option("--sketch-style", multiple=True, help="Of the sketches; repeatable. Default: a mixture.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Write here instead of beside the images."
)
@click.option("--seed", default=0, show_default=True, help="Of everything random.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@skip_broken_option
def derive(
    data: tuple[str, ...],
    settings: tuple[str, ...],
    modalities: tuple[str, ...],
    ir_style: tuple[str, ...],
    sketch_style: tuple[str, ...],
    out: Path | None,
    seed: int,
    workers: int,
    skip_broken: bool,
) -> None:
    """Make an infrared-like view and a sketch of every RGB photograph, beside the images.

    `imgs/a/1.jpg` gets `imgs-ir/a/1.png` and `imgs-sketch/a/1.png`, as in the Tri- and quad-modal data sets. What is
    there already is kept, so an interrupted run is taken up where it was.
    """
    from reid.derive import derive_dataset

    report = derive_dataset(
        read_data(data, settings),
        modalities=[Modality(m) for m in modalities],
        styles={Modality.IR: ir_style, Modality.SKETCH: sketch_style},
        out_root=out,
        seed=seed,
        skip_broken=skip_broken,
        workers=workers,
    )
    click.echo(str(report))
    for reason in report.broken[:5]:
        click.echo(f"skipped: {reason}", err=True)
