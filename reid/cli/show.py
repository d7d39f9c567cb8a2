"""`reid data show`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from reid.cli.options import data_argument, loader_options, read_data, skip_broken_option
from reid.dataset import Dataset
from reid.errors import UserError


@click.command()
@data_argument
@loader_options
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The PNG to write.")
@click.option("--people", default=6, show_default=True, help="How many people, chosen by --seed.")
@click.option("--person", "named", multiple=True, help="This person instead; repeatable.")
@click.option("--compare", is_flag=True, help="Underline the words that tell the people shown from each other.")
@click.option("--seed", default=0, show_default=True, help="Which people and which of their images.")
@click.option("--height", default=160, show_default=True, help="Height of an image in pixels.")
@click.option("--columns", default=12, show_default=True, help="At most so many columns of images.")
@skip_broken_option
def show(
    data: tuple[str, ...],
    settings: tuple[str, ...],
    out: Path,
    people: int,
    named: tuple[str, ...],
    compare: bool,
    seed: int,
    height: int,
    columns: int,
    skip_broken: bool,
) -> None:
    """Draw a contact sheet: rows people, columns modalities and cameras, captions beside."""
    from reid.pictures import contact_sheet

    dataset = read_data(data, settings)
    picture = contact_sheet(
        dataset.samples,
        people=named or people,
        seed=seed,
        height=height,
        columns=columns,
        attributes=_attributes(dataset),
        title=f"{dataset.kind}: {dataset.root.name}",
        mark_differences=compare,
        skip_broken=skip_broken,
    )
    try:
        picture.save(out)
    except (OSError, ValueError) as error:
        raise UserError(f"--out {out}: cannot be written ({error}); expected a path that ends in .png") from error
    click.echo(f"wrote {out}, {picture.width} x {picture.height}")


def _attributes(dataset: Dataset) -> dict[str, dict[str, str]] | None:
    """What `people.json` beside the images says of each person; synthetic data sets have one."""
    path = dataset.root / "people.json"
    if not path.is_file():
        return None
    raw = json.loads(path.read_text(encoding="utf-8"))
    return {person: {k: str(v) for k, v in told.items() if v} for person, told in raw.items()}
