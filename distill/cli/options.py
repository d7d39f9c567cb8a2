"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from distill import DEFAULT_RECIPE
from reid.cli.options import read_data, spec_of
from teacher.cli.options import device_option, set_option

__all__ = [
    "data_options",
    "device_option",
    "named_data",
    "recipe_option",
    "set_option",
    "teacher_option",
]

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
