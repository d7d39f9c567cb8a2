"""`teacher recipes`."""

from __future__ import annotations

import click

from teacher.cli.options import set_option


@click.command("recipes")
@click.argument("name", required=False)
@set_option
def recipes(name: str | None, changes: tuple[str, ...]) -> None:
    """List the recipes, or print one in full: a file that --recipe takes."""
    from teacher.recipe import dump_recipe, list_recipes, load_recipe

    if name is not None:
        click.echo(dump_recipe(load_recipe(name, changes)), nl=False)
        return
    for found in list_recipes():
        recipe = load_recipe(found)
        terms = " + ".join(recipe.objective.terms())
        reads = " ".join(map(str, recipe.modalities))
        click.echo(f"{found:<18} {recipe.tuning.kind}, {recipe.readout.kind}, {terms}; reads {reads}")
