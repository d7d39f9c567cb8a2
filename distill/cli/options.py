"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from distill import DEFAULT_RECIPE
from reid.cli.options import read_data, spec_of

if TYPE_CHECKING:
    from reid.dataset import Dataset

Decorated = TypeVar("Decorated", bound=Callable[..., object])

teacher_option = click.option(
    "--teacher", type=click.Path(path_type=Path), help="A teacher checkpoint, or its store. Default: the newest."
)
recipe_option = click.option(
    "--recipe",
    "recipe_name",
    default=DEFAULT_RECIPE,
    show_default=True,
    help="A name (distill list recipes) or a .yaml.",
)
set_option = click.option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change the recipe: --set training.seed=1; repeatable."
)
device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="auto: a GPU if there is one.",
)


def data_options(command: Decorated) -> Decorated:
    """--data and the options of its loader."""
    for option in (
        click.option(
            "--data-set", "settings", multiple=True, metavar="OPTION=VALUE", help="An option of the data set's loader."
        ),
        click.option("--data", help="KIND:ROOT or a path. Default: what the store was made from."),
    ):
        command = option(command)
    return command


def named_data(data: str | None, settings: tuple[str, ...]) -> tuple[Dataset | None, str]:
    """The data set that --data names, and how it is written down; (None, "") if it names none."""
    return (None, "") if data is None else (read_data((data,), settings), spec_of((data,), settings))
