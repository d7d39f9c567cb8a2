"""Recipes of the distiller: read, built on each other and changed as those of the teacher are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from distill.settings import DistillRecipe
from teacher.recipe import RecipeBook

DEFAULT = "adaptive-svd"
_BOOK = RecipeBook(DistillRecipe, "recipes.distill")


def list_recipes() -> list[str]:
    """Names of the distiller's recipes that come with the package."""
    return _BOOK.names()


def load_recipe(name: str = DEFAULT, changes: Iterable[str] = ()) -> DistillRecipe:
    """The recipe called `name`, or at the path `name`, with `changes` such as "objective.relation.weight=0.5".

    Raises:
        UserError: as `teacher.recipe.RecipeBook.load` says.
    """
    return _BOOK.load(name, changes)


def check_recipe(raw: Mapping[str, Any], where: str) -> DistillRecipe:
    """A recipe from plain values; `where` names it in the error.

    Raises:
        UserError: an unknown key, or a value that cannot be.
    """
    return _BOOK.check(raw, where)


def dump_recipe(recipe: DistillRecipe) -> str:
    """The recipe in full as YAML; `load_recipe` reads it again."""
    return _BOOK.dump(recipe)
