"""`edge gallery`: what is in it, and its upkeep."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from edge_runtime.cli.options import (
    GALLERY,
    Speaker,
    bundle_options,
    filter_options,
    json_option,
    load_embedder,
    moment,
    open_gallery,
    parse_modalities,
    table,
    when,
)
from edge_runtime.gallery import UNKNOWN, Filter, Gallery
from reid.cli.shell import HELP_NAMES
from reid.errors import UserError
from reid.modality import Modality
from reid.similarity import Floats

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
ARROW = (".arrow", ".feather", ".ipc")


@click.group("gallery", context_settings=HELP_NAMES)
def gallery_command() -> None:
    """People of a gallery, and its upkeep. GALLERY is a file; what a command has said to be done is on disk."""


def gallery_option(command: Decorated) -> Decorated:
    """--gallery and --json."""
    place = click.Path(path_type=Path)
    option = click.option("--gallery", "place", type=place, help=f"The file. Default: {GALLERY}.")
    return option(json_option(command))


@gallery_command.command("people")
@click.argument("gallery", required=False, type=click.Path(path_type=Path))
@json_option
def people_command(gallery: Path | None, as_json: bool) -> None:
    """Everyone by name, with how many rows and when; unknown rows come last."""
    say = Speaker(as_json)
    with open_gallery(gallery, say, read_only=True) as opened:
        people = opened.people()
    rows = [("person", "rows", "first", "last")]
    rows += [(p.person_id or UNKNOWN, f"{p.rows}", when(p.first), when(p.last)) for p in people]
    for line in table(rows, right=(1,)):
        say.line(line)
    say.document([{"person": p.person_id, "rows": p.rows, "first": p.first, "last": p.last} for p in people])


@gallery_command.command("delete")
@click.option("--person", "people", multiple=True, help="All rows of this person; repeatable.")
@click.option("--row", "ids", multiple=True, type=int, help="The row of this number; repeatable.")
@filter_options
@gallery_option
def delete_command(
    people: tuple[str, ...], ids: tuple[int, ...], cameras: tuple[str, ...], not_cameras: tuple[str, ...],
    modalities: tuple[str, ...], since: str | None, until: str | None, known: bool | None, place: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Delete rows: by number, or those that meet all conditions. Deleted embeddings and crops are overwritten."""
    say = Speaker(as_json)
    now = time.time()
    where = Filter(
        cameras or None, not_cameras or None, moment(since, "--since", now), moment(until, "--until", now),
        parse_modalities(modalities, "--seen-in"), people or None, known,
    )  # fmt: skip
    if bool(ids) == (not where.is_empty):
        raise UserError("delete: expected either --row, or conditions such as --person or --until")
    with open_gallery(place, say) as opened:
        if people:
            _refuse_absent(opened, people)
        count = opened.delete(list(ids)) if ids else opened.delete(where=where)
        _done(say, f"deleted {count} rows", opened, deleted=count)


@gallery_command.command("rename")
@click.argument("old")
@click.argument("new")
@gallery_option
def rename_command(old: str, new: str, place: Path | None, as_json: bool) -> None:
    """Give a person another name, which nobody may have yet."""
    say = Speaker(as_json)
    with open_gallery(place, say) as opened:
        _refuse_absent(opened, (old,))
        count = opened.rename(old, new)
        _done(say, f"renamed {old} to {new}: {count} rows", opened, renamed=count)


@gallery_command.command("merge")
@click.argument("people", nargs=-1, required=True)
@click.option("--into", required=True, help="Whose the rows become.")
@gallery_option
def merge_command(people: tuple[str, ...], into: str, place: Path | None, as_json: bool) -> None:
    """Make one person of several."""
    say = Speaker(as_json)
    with open_gallery(place, say) as opened:
        _refuse_absent(opened, people)
        count = opened.merge(people, into)
        _done(say, f"merged {', '.join(people)} into {into}: {count} rows", opened, merged=count)


@gallery_command.command("assign")
@click.argument("ids", nargs=-1, required=True, type=int)
@click.option("--person", help="Whose they are. Default: nobody known.")
@gallery_option
def assign_command(ids: tuple[int, ...], person: str | None, place: Path | None, as_json: bool) -> None:
    """Say whose the rows of these numbers are."""
    say = Speaker(as_json)
    with open_gallery(place, say) as opened:
        opened.assign(ids, None if person == UNKNOWN else person)
        _done(say, f"{len(ids)} rows are now of {person or UNKNOWN}", opened, assigned=len(ids))


@gallery_command.command("expire")
@click.option("--keep-days", type=click.FloatRange(0), help="Delete what is older.")
@click.option("--max-rows", type=click.IntRange(0), help="Of the rest keep so many, the newest.")
@click.option("--known", is_flag=True, help="Also rows of known people. Default: unknown ones only.")
@gallery_option
def expire_command(
    keep_days: float | None, max_rows: int | None, known: bool, place: Path | None, as_json: bool
) -> None:
    """Delete what is too old, then what is too many."""
    say = Speaker(as_json)
    if keep_days is None and max_rows is None:
        raise UserError("expire: expected --keep-days, --max-rows or both")
    with open_gallery(place, say) as opened:
        where = Filter() if known else Filter(known=False)
        count = opened.apply_retention(keep_days=keep_days, max_rows=max_rows, where=where)
        _done(say, f"deleted {count} rows", opened, deleted=count)


@gallery_command.command("export")
@click.argument("file", type=click.Path(path_type=Path))
@gallery_option
def export_command(file: Path, place: Path | None, as_json: bool) -> None:
    """Write all rows with embeddings and crops: Arrow (.arrow, needs pyarrow) or JSON lines (.jsonl)."""
    say = Speaker(as_json)
    arrow = _is_arrow(file)
    with open_gallery(place, say, read_only=True) as opened:
        count = opened.export_arrow(file) if arrow else opened.export_json(file)
        _done(say, f"wrote {file}: {count} rows", opened, exported=count, file=str(file))


@gallery_command.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@gallery_option
def import_command(file: Path, place: Path | None, as_json: bool) -> None:
    """Add the rows of an export of the same bundle's embeddings, all or none; they get new numbers."""
    say = Speaker(as_json)
    arrow = _is_arrow(file)
    if not file.exists():
        raise UserError(f"{file}: no such file; expected what `edge gallery export` wrote")
    with open_gallery(place, say) as opened:
        ids = opened.import_arrow(file) if arrow else opened.import_json(file)
        _done(say, f"imported {len(ids)} rows", opened, ids=ids)


@gallery_command.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@gallery_option
def backup_command(file: Path, place: Path | None, as_json: bool) -> None:
    """Write all that is committed into one file, which opens as a gallery; others may go on writing meanwhile."""
    say = Speaker(as_json)
    with open_gallery(place, say, read_only=True) as opened:
        opened.backup(file)
        _done(say, f"wrote {file}, {file.stat().st_size / 2**20:.1f} MiB", opened, file=str(file))


@gallery_command.command("compact")
@click.argument("gallery", required=False, type=click.Path(path_type=Path))
@json_option
def compact_command(gallery: Path | None, as_json: bool) -> None:
    """Give the room of deleted rows back to the disk. Needs as much room again while it works."""
    say = Speaker(as_json)
    with open_gallery(gallery, say) as opened:
        before = opened.path.stat().st_size
        opened.compact()
        after = opened.path.stat().st_size
        told = f"compacted: {before / 2**20:.1f} MiB before, {after / 2**20:.1f} MiB now"
        _done(say, told, opened, before=before, after=after)


@gallery_command.command("reembed")
@click.argument("gallery", required=False, type=click.Path(path_type=Path))
@bundle_options
@json_option
def reembed_command(gallery: Path | None, bundle_path: Path | None, as_json: bool, **chosen: Any) -> None:
    """Replace all embeddings by another bundle's, from the stored crops; nothing changes if one has none."""
    say = Speaker(as_json)
    with load_embedder(bundle_path, say, **chosen) as embedder, open_gallery(gallery, say) as opened:

        def embed(crops: list[bytes], modality: Modality) -> Floats:
            return embedder.embed(crops, modality)

        count = opened.reembed(embedder.space_id, embedder.dim, embed)
        _done(say, f"embedded {count} rows again, now of {embedder.bundle.folder}", opened, reembedded=count)


def _done(say: Speaker, line: str, opened: Gallery, **told: Any) -> None:
    say.line(line)
    say.document({"gallery": str(opened.path), "rows": opened.count, **told})


def _refuse_absent(opened: Gallery, people: tuple[str, ...]) -> None:
    from difflib import get_close_matches

    there = [person.person_id for person in opened.people() if person.person_id is not None]
    for person in people:
        if person not in there:
            near = get_close_matches(person, there, 1)
            hint = f"did you mean '{near[0]}'?" if near else "`edge gallery people` lists them"
            raise UserError(f"{opened.path}: has no person '{person}'; {hint}")


def _is_arrow(file: Path) -> bool:
    if file.suffix in ARROW:
        return True
    if file.suffix in (".jsonl", ".json", ".ndjson"):
        return False
    raise UserError(f"{file}: expected a name that ends in .arrow or .jsonl")
