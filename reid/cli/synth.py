"""`reid data synth`."""

from __future__ import annotations

from pathlib import Path

import click

from reid.modality import Modality


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--people", default=100, show_default=True, help="How many people.")
@click.option("--cameras", default=4, show_default=True, help="How many visible-light cameras; half as many infrared.")
@click.option("--per-camera", default=2, show_default=True, help="Images of each person by each camera.")
@click.option("--sketches", default=2, show_default=True, help="Sketches of each person, by different hands.")
@click.option("--captions", default=2, show_default=True, help="Sentences about each person, by different witnesses.")
@click.option("--seed", default=0, show_default=True, help="Everything follows from it.")
@click.option("--size", type=(int, int), default=(128, 64), show_default=True, help="Height and width of an image.")
@click.option("--lookalikes", default=0.5, show_default=True, help="Share of the people who have look-alikes.")
@click.option(
    "--modality",
    "modalities",
    type=click.Choice([m.value for m in Modality]),
    multiple=True,
    default=tuple(m.value for m in Modality),
    help="What to make; repeatable. Default: all four.",
)
@click.option("--workers", default=1, show_default=True, help="Processes that render.")
def synth(
    out: Path,
    people: int,
    cameras: int,
    per_camera: int,
    sketches: int,
    captions: int,
    seed: int,
    size: tuple[int, int],
    lookalikes: float,
    modalities: tuple[str, ...],
    workers: int,
) -> None:
    """Make people that never existed, seen by cameras, drawn by hands and described by witnesses.

    The same seed gives the same files on every machine. OUT holds images/, samples.jsonl (the data set: name OUT where
    one is asked for) and people.json (what every person is and wears).
    """
    from reid.synthetic.world import World
    from reid.synthetic.write import write_world

    world = World(
        seed=seed,
        people=people,
        cameras=cameras,
        per_camera=per_camera,
        sketches=sketches,
        captions=captions,
        size=size,
        lookalikes=lookalikes,
        modalities=tuple(Modality(m) for m in modalities),
    )
    count = write_world(world, out, workers=workers)
    click.echo(f"wrote {out}: {count} samples of {people} people")
