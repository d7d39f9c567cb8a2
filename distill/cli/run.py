"""`distill run`."""

from __future__ import annotations

from pathlib import Path

import click

from distill.cli.options import data_options, device_option, named_data, recipe_option, set_option, teacher_option


@click.command("run")
@teacher_option
@click.option("--student", "name", default="vit-s", show_default=True, help="Which (distill list students).")
@data_options
@recipe_option
@set_option
@click.option("--rank", help="How many coordinates: auto, energy:0.95, or a number. Default: the recipe's.")
@click.option("--epochs", type=click.IntRange(1), help="Default: the recipe's.")
@click.option("--views", type=click.IntRange(0), help="Stored augmented views of each image. Default: the recipe's.")
@click.option("--out", type=click.Path(path_type=Path), help="The student to make. Default: runs/student/NAME-RECIPE.")
@click.option("--resume", is_flag=True, help="Go on with a run that was interrupted.")
@click.option("--overwrite", is_flag=True, help="Begin anew and replace what lies at --out.")
@device_option
def run_command(
    teacher: Path | None,
    name: str,
    data: str | None,
    settings: tuple[str, ...],
    recipe_name: str,
    changes: tuple[str, ...],
    rank: str | None,
    epochs: int | None,
    views: int | None,
    out: Path | None,
    resume: bool,
    overwrite: bool,
    device: str,
) -> None:
    """Distil a teacher into a student that lands in the teacher's principal coordinates.

    People of split train are trained on, people of split val choose the checkpoint, test people are only reported.

    \b
    distill run --teacher runs/teacher/mllmembed --student vit-s --data people
    distill run --teacher runs/store --student vit-ti --rank 16 --epochs 20
    torchrun --nproc-per-node 4 -m distill run --teacher runs/store --student vit-s
    """
    from distill.distiller import distil_to
    from distill.recipe import load_recipe
    from reid.errors import UserError
    from student.zoo import find_student

    if resume and overwrite:
        raise UserError("--resume and --overwrite exclude each other: go on, or begin anew")
    given = {"spectrum.rank": rank, "training.epochs": None if epochs is None else f"[{epochs}]", "views": views}
    options = [f"{key}={value}" for key, value in given.items() if value is not None]
    recipe = load_recipe(recipe_name, [*options, *changes])
    find_student(name)
    dataset, spec = named_data(data, settings)
    place = out or Path("runs/student") / f"{name}-{recipe.name}"
    try:
        distil_to(
            place, teacher, name, recipe, dataset=dataset, spec=spec, device=device, resume=resume, overwrite=overwrite,
            say=click.echo,
        )  # fmt: skip
    except KeyboardInterrupt:
        raise click.Abort from None
