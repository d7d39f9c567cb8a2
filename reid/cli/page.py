"""`reid page`."""

from __future__ import annotations

from pathlib import Path

import click

from reid.artifact import write_text
from reid.cli.options import OutputFile


@click.command("page")
@click.argument("road")
@click.option("--folder", type=click.Path(path_type=Path), help="Where the road went. Default: the file's.")
@click.option("--student", type=click.Path(path_type=Path), help="report.json of `distill eval`.")
@click.option("--parity", type=click.Path(path_type=Path), help="parity.json of an export.")
@click.option("--bench", type=click.Path(path_type=Path), help="What `export bench --out` wrote.")
@click.option("--out", type=OutputFile(".html"), required=True, help="The page to write.")
def page_command(
    road: str, folder: Path | None, student: Path | None, parity: Path | None, bench: Path | None, out: Path
) -> None:
    """Gather a road in one page: a table of what was reached, every command, every picture and report."""
    from reid.evaluation import format_table
    from reid.road.page import road_page
    from reid.road.recipe import find_road, read_road
    from reid.road.summary import summarise

    found = read_road(find_road(road), folder=folder)
    summary = None if student is None or parity is None else summarise(student, parity, bench)
    write_text(out, road_page(found, summary, out))
    if summary is not None:
        click.echo(format_table(summary.rows))
        for note in summary.notes:
            click.echo(f"- {note}")
    click.echo(f"wrote {out}")
