"""`distill compare`."""

from __future__ import annotations

from pathlib import Path

import click

from distill.cli.options import data_options, device_option, named_data, set_option, teacher_option

RIVALS = "adaptive-svd,mse,cosine,channel-svd,random-projection"


@click.command("compare")
@teacher_option
@click.option("--student", "name", default="vit-s", show_default=True, help="Which (distill list students).")
@data_options
@click.option(
    "--recipes",
    default=RIVALS,
    show_default=True,
    help="Names (distill list recipes) or .yaml files, with commas between; differences are told to the first.",
)
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="How many: 0, 1, ...")
@set_option
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="The folder of all runs.")
@device_option
def compare_command(
    teacher: Path | None,
    name: str,
    data: str | None,
    settings: tuple[str, ...],
    recipes: str,
    seeds: int,
    changes: tuple[str, ...],
    out: Path,
    device: str,
) -> None:
    """Run methods side by side: the same teacher's store, student, data, steps and seeds, one table of test people.

    Each run is a student of its own in OUT/RECIPE-SEED, and compare.txt and compare.json are written after each. The
    same command goes on where it was stopped.

    \b
    distill compare --teacher runs/store --student vit-ti --recipes adaptive-svd,mse,cosine --out runs/compare
    distill compare --teacher runs/store --student vit-micro --set training.epochs=[20] --seeds 5 --out runs/compare
    """
    import os

    from distill.compare.run import compare
    from reid.artifact import newest
    from reid.embeddings import KIND as STORE
    from reid.errors import UserError
    from teacher.checkpoint import KIND as TEACHER

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("distill compare runs in one process; call it without torchrun, or use distill run")
    names = [part.strip() for part in recipes.split(",") if part.strip()]
    if not names:
        raise UserError("--recipes: names no recipe; see distill list recipes")
    dataset, spec = named_data(data, settings)
    if teacher is None:
        teacher = newest(STORE if dataset is None else TEACHER, Path("runs"))
        click.echo(f"taking the newest teacher, {teacher}")
    try:
        comparison = compare(
            out, teacher, name, names, seeds=seeds, changes=changes, dataset=dataset, spec=spec, device=device,
            say=click.echo,
        )  # fmt: skip
    except KeyboardInterrupt:
        click.echo("stopped; the same command goes on")
        raise click.Abort from None
    click.echo(f"\n{comparison}")
    click.echo(f"wrote {out / 'compare.txt'} and {out / 'compare.json'}")
    if comparison.failed:
        raise UserError(
            f"{len(comparison.failed)} of {len(comparison.entries)} runs failed, first "
            f"{next(iter(comparison.failed))}; the same command tries them again"
        )
