"""`distill list`."""

from __future__ import annotations

from collections.abc import Iterable

import click

from reid.errors import UserError

_KINDS = ("losses", "students", "recipes")


@click.command("list")
@click.argument("kind", type=click.Choice(_KINDS), required=False)
@click.argument("name", required=False)
@click.option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change the recipe that is printed; repeatable."
)
def list_command(kind: str | None, name: str | None, changes: tuple[str, ...]) -> None:
    """List the losses, the students or the recipes; or print a recipe in full: `distill list recipes NAME`."""
    if name is not None:
        _print_recipe(kind, name, changes)
        return
    if changes:
        raise UserError("--set: goes with a recipe's name: distill list recipes adaptive-svd --set views=2")
    for asked in _KINDS if kind is None else (kind,):
        if kind is None:
            click.echo(f"{asked}:")
        rows = list(_ROWS[asked]())
        width = max(len(row_name) for row_name, _ in rows) + 2
        for row_name, description in rows:
            click.echo(f"{'  ' if kind is None else ''}{row_name:<{width}}{description}")


def _print_recipe(kind: str | None, name: str, changes: tuple[str, ...]) -> None:
    from distill.recipe import dump_recipe, load_recipe

    if kind != "recipes":
        raise UserError(f"{kind} {name}: only a recipe is printed in full: distill list recipes NAME")
    click.echo(dump_recipe(load_recipe(name, changes)), nl=False)


def _losses() -> Iterable[tuple[str, str]]:
    from distill.settings import Objective

    return ((name, str(field.description)) for name, field in Objective.model_fields.items())


def _students() -> Iterable[tuple[str, str]]:
    from student.zoo import ZOO

    return ((name, entry.description) for name, entry in ZOO.items())


def _recipes() -> Iterable[tuple[str, str]]:
    from distill.recipe import list_recipes, load_recipe

    for name in list_recipes():
        recipe = load_recipe(name)
        yield name, f"{recipe.spectrum.basis}, {' + '.join(recipe.objective.weighted)}"


_ROWS = {"losses": _losses, "students": _students, "recipes": _recipes}
