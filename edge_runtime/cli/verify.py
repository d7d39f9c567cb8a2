"""`edge verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edge_runtime.bundle import open_bundle
from edge_runtime.cli.options import GALLERY, Speaker, is_gallery_name, json_option, key_option
from edge_runtime.gallery import Gallery
from reid.artifact import newest
from reid.errors import UserError


@click.command("verify")
@click.argument("things", nargs=-1, type=click.Path(path_type=Path), metavar="[BUNDLE | GALLERY]...")
@key_option
@json_option
@click.pass_context
def verify_command(ctx: click.Context, things: tuple[Path, ...], key: Path | None, as_json: bool) -> None:
    """Read every byte of bundles and galleries and compare it with its checksum.

    Without a name: the newest bundle and the default gallery. Exit code 2 if anything does not hold.
    """
    say = Speaker(as_json)
    if not things:
        things = default_things()
        say.note(f"verifying {', '.join(map(str, things))}")
    found = [verify(thing, key) for thing in things]
    for one in found:
        if not one["problems"]:
            said = f", signed by {one['signer']}" if one.get("signer") else ""
            say.line(f"ok   {one['path']}: {one['kind']}{said}, {one['held']}")
        for problem in one["problems"]:
            say.line(f"BAD  {one['path']}: {problem}")
    say.document(found)
    bad = [one for one in found if one["problems"]]
    if bad and as_json:
        ctx.exit(2)
    if bad:
        way = "use a backup" if bad[0]["kind"] == "gallery" else "copy it again"
        raise UserError(f"{bad[0]['path']}: {sum(len(one['problems']) for one in bad)} problems; {way}")


def default_things() -> tuple[Path, ...]:
    """The newest bundle and the default gallery, as far as they are there.

    Raises:
        UserError: neither is.
    """
    there = [GALLERY] if GALLERY.exists() else []
    try:
        there.insert(0, newest("bundle", Path("runs")))
    except UserError:
        if not there:
            raise UserError(f"verify: no bundle under ./runs and no gallery {GALLERY}; name one") from None
    return tuple(there)


def verify(thing: Path, key: Path | None) -> dict[str, Any]:
    """What is wrong with a bundle or a gallery, JSON-ready."""
    told: dict[str, Any] = {"path": str(thing), "kind": "gallery" if is_gallery_name(str(thing)) else "bundle"}
    try:
        if told["kind"] == "gallery":
            with Gallery.open(thing, create=False, read_only=True) as gallery:
                return {**told, "problems": gallery.verify(), "held": f"{gallery.count} rows"}
        bundle = open_bundle(thing, key=key)
        return {**told, "problems": [], "signer": bundle.signer, "held": f"{len(bundle.manifest.files)} files"}
    except UserError as error:
        return {**told, "problems": [str(error)], "held": ""}
