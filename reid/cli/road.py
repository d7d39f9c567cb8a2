"""`reid run`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("run")
@click.argument("road")
@click.option("--from", "first", metavar="STAGE", help="Make this stage and all after it anew.")
@click.option("--until", "last", metavar="STAGE", help="Stop after this stage.")
@click.option("--set", "changes", multiple=True, metavar="NAME=VALUE", help="Another value; repeatable.")
@click.option("--out", type=click.Path(path_type=Path), help="The folder of all that is made. Default: the file's.")
@click.option("--dry-run", "dry", is_flag=True, help="Say what would be done, and do nothing.")
def road_command(
    road: str, first: str | None, last: str | None, changes: tuple[str, ...], out: Path | None, dry: bool
) -> None:
    """Go down a whole road: data, teacher, student, export, device. ROAD is a file, or the name of one that is here.

    Every stage is a command, which is printed. A stage whose product is there, made by the same command from the same
    products of others, is passed; so the same call goes on where it was interrupted.

    \b
    reid run demo --dry-run
    reid run mine.yaml --from student --set steps=2400
    """
    from reid.road.recipe import find_road, read_road
    from reid.road.run import travel

    found = read_road(find_road(road), changes, out)
    try:
        passed = travel(found, first=first, last=last, dry=dry, say=lambda line: click.echo(line))
    except KeyboardInterrupt:
        click.echo("stopped; the same command goes on", err=True)
        raise click.Abort from None
    if not dry:
        made = [p for p in passed if not p.there]
        click.echo(f"{found.name}: {len(passed)} stages, {len(made)} made in {sum(p.seconds for p in made):.0f} s")
