"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from PIL import Image

from reid.artifact import newest, replacing
from reid.dataset import Dataset
from reid.datasets import load_dataset, open_dataset
from reid.embeddings import KIND as STORE_KIND
from reid.embeddings import EmbeddingStore
from reid.errors import UserError


class OutputFile(click.Path):
    """The path of a file to write; refused before any work is done if its folder is missing or its ending is wrong."""

    def __init__(self, suffix: str) -> None:
        super().__init__(path_type=Path, dir_okay=False)
        self.suffix = suffix

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The checked path."""
        path = Path(str(super().convert(value, param, ctx)))
        if path.suffix != self.suffix:
            self.fail(f"'{path}' is not a name for this file; expected one that ends in {self.suffix}", param, ctx)
        if not path.absolute().parent.is_dir():
            self.fail(f"'{path}' cannot be written: there is no folder {path.parent}; make it first", param, ctx)
        return path


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
    dataset = load_dataset(data[0], Path(data[1]), options) if len(data) == 2 else open_dataset(data[0], options)
    for warning in dataset.warnings if warn else ():
        click.echo(f"warning: {warning}", err=True)
    return dataset


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a PNG, whole or not at all, and say so.

    Raises:
        UserError: it cannot be written.
    """
    with replacing(path) as part:
        picture.save(part, "png")
    click.echo(f"wrote {path}, {picture.width} x {picture.height}")


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
    *kind, root = data
    if ":" not in root:
        # Whole, so that it is found again from another folder.
        root = str(Path(root).resolve())
    return ":".join([*kind, root]) + ("?" + "&".join(settings) if settings else "")
