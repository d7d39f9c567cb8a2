"""`reid data`: make, check, derive and show data sets."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from reid.artifact import write_text
from reid.cli.options import OutputFile, data_argument, loader_options, read_data
from reid.cli.shell import HELP_NAMES, LazyGroup


@click.group(
    "data",
    cls=LazyGroup,
    context_settings=HELP_NAMES,
    lazy={
        "synth": ("reid.cli.synth:synth", "make people that never existed, in four modalities"),
        "derive": ("reid.cli.derive:derive", "make infrared views and sketches out of photographs"),
        "boxes": ("reid.cli.boxes:boxes", "write images as the lines that a device enrols"),
        "show": ("reid.cli.show:show", "draw a contact sheet: rows people, columns modalities and cameras"),
    },
)
def data() -> None:
    """Make, check, derive and show data sets.

    A data set is named by its kind and its folder (`market1501 /data/Market-1501`); the path alone is enough for a
    manifest (samples.jsonl or .csv), which is also what `reid data synth` writes. `reid data kinds` lists the kinds.
    """


@data.command()
@data_argument
@loader_options
@click.option("--no-images", is_flag=True, help="Do not decode the images; only look whether they are there.")
@click.option("--json", "report_path", type=OutputFile(".json"), help="Write all findings too.")
def check(data: tuple[str, ...], settings: tuple[str, ...], no_images: bool, report_path: Path | None) -> None:
    """Compare a copy with the published data set: counts, broken images, captions, people in both train and test.

    Exits with code 1 if the copy is broken.
    """
    from reid.datasets.check import check_dataset

    report = check_dataset(read_data(data, settings, warn=False), images=not no_images)
    click.echo(str(report))
    if report_path is not None:
        write_text(report_path, json.dumps(report.to_dict(), ensure_ascii=False, indent=1) + "\n")
        click.echo(f"wrote {report_path}")
    sys.exit(1 if report.broken else 0)


@data.command()
@click.argument("name", required=False)
def kinds(name: str | None) -> None:
    """List the kinds of data sets, or show the layout and the options of one."""
    from reid.datasets import KINDS, find_kind

    if name is None:
        width = max(map(len, KINDS))
        for kind in KINDS.values():
            click.echo(f"{kind.name:<{width}}  {kind.title}")
        return
    kind = find_kind(name)
    click.echo(f"{kind.title}\n\n{kind.layout.rstrip()}")
    for option, described in kind.options.items():
        values = f" ({', '.join(described.choices)})" if described.choices else ""
        click.echo(f"\n--set {option}={described.default}{values}\n    {described.help}")
