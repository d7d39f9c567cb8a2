"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from reid.artifact import newest
from reid.dataset import Dataset
from reid.datasets import load_dataset, open_dataset
from reid.embeddings import KIND as STORE_KIND
from reid.embeddings import EmbeddingStore
from reid.errors import UserError

data_argument = click.argument("data", nargs=-1, required=True, metavar="[KIND] ROOT")
loader_options = click.option(
    "--set", "settings", multiple=True, metavar="OPTION=VALUE", help="An option of the data set's loader; repeatable."
)
skip_broken_option = click.option(
    "--skip-broken", is_flag=True, help="Go on when an image does not decode, and count such images."
)


def read_data(data: Sequence[str], settings: Sequence[str] = (), *, warn: bool = True) -> Dataset:
    """The data set named on the command line: KIND ROOT, KIND:ROOT?option=value, or the path of a manifest.

    Its warnings are printed, unless `warn` is False because the caller does so.

    Raises:
        UserError: the words do not name one.
    """
    if len(data) > 2:
        raise UserError(f"expected KIND ROOT or a manifest's path, got {len(data)} words: {' '.join(data)}")
    options: dict[str, str] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise UserError(f"--set {setting}: expected OPTION=VALUE")
        options[name] = value
    if len(data) == 2:
        dataset = load_dataset(data[0], Path(data[1]), options)
    else:
        dataset = load_dataset("manifest", Path(data[0]), options) if options else open_dataset(data[0])
    for warning in dataset.warnings if warn else ():
        click.echo(f"warning: {warning}", err=True)
    return dataset


def open_stores(paths: Sequence[Path]) -> list[EmbeddingStore]:
    """The stores at `paths`; if none is named, the newest one under ./runs, and a line that says which.

    Raises:
        UserError: one is not a finished store, or there is none.
    """
    if not paths:
        paths = [newest(STORE_KIND, Path("runs"))]
        click.echo(f"taking the newest store, {paths[0]}", err=True)
    return [EmbeddingStore.open(path) for path in paths]


def spec_of(data: Sequence[str], settings: Sequence[str] = ()) -> str:
    """What the user called the data set, as `KIND:ROOT?option=value` or a path, which `open_dataset` reads again."""
    return ":".join(data) + ("?" + "&".join(settings) if settings else "")
