"""`reid baseline`."""

from __future__ import annotations

from pathlib import Path

import click

from reid.cli.options import data_argument, loader_options, read_data, skip_broken_option, spec_of


@click.command("baseline")
@data_argument
@loader_options
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the store to write.")
@click.option(
    "--kind",
    type=click.Choice(["random", "colour"]),
    default="random",
    show_default=True,
    help="random: chance level. colour: mean colours of 8 x 4 cells (images only).",
)
@click.option("--seed", default=0, show_default=True, help="Seed of the random embeddings.")
@skip_broken_option
def baseline(
    data: tuple[str, ...], settings: tuple[str, ...], out: Path, kind: str, seed: int, skip_broken: bool
) -> None:
    """Write an embedding store that needs no training: what a model has to beat."""
    from reid.baselines import write_baseline

    dataset = read_data(data, settings)
    broken = write_baseline(dataset, kind, out, source=spec_of(data, settings), seed=seed, skip_broken=skip_broken)
    if broken:
        click.echo(f"left out {broken} images that do not decode")
    click.echo(f"wrote {out}")
