"""`edge info`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edge_runtime.bundle import Bundle, open_bundle
from edge_runtime.cli.options import GALLERY, Speaker, is_gallery_name, json_option, key_option, when
from edge_runtime.gallery import Gallery
from reid.artifact import newest
from reid.errors import UserError

Facts = dict[str, Any]


@click.command("info")
@click.argument("thing", required=False, type=click.Path(path_type=Path), metavar="[BUNDLE | GALLERY]")
@key_option
@json_option
def info_command(thing: Path | None, key: Path | None, as_json: bool) -> None:
    """What a bundle or a gallery holds; without a name: this device, the newest bundle and the default gallery.

    A bundle is verified before it is described.
    """
    say = Speaker(as_json)
    if thing is None:
        told = everything(key)
    elif is_gallery_name(str(thing)):
        told = {"gallery": of_gallery(thing)}
    else:
        told = {"bundle": of_bundle(open_bundle(thing, key=key))}
    for title, facts in told.items():
        say.line(f"{title}")
        for name, value in facts.items():
            say.line(f"  {name:<14} {_words(value)}")
    say.document(told)


def everything(key: Path | None) -> dict[str, Facts]:
    """This device, and what is found in the default places."""
    from edge_runtime.device import look

    told: dict[str, Facts] = {"device": look().to_dict()}
    try:
        path = newest("bundle", Path("runs"))
    except UserError:
        told["bundle"] = {"path": None}
    else:
        told["bundle"] = of_bundle(open_bundle(path, key=key))
    told["gallery"] = of_gallery(GALLERY) if GALLERY.exists() else {"path": None}
    return told


def of_bundle(bundle: Bundle) -> Facts:
    """A bundle that has been verified."""
    described = bundle.description
    fit = bundle.preprocessing
    return {
        "path": str(bundle.folder),
        "student": described.student,
        "space": bundle.space_id,
        "width": bundle.dim,
        "input": f"{fit.height} x {fit.width}, {fit.resampling}",
        "modalities": [str(modality) for modality in bundle.modalities],
        "precisions": list(bundle.precisions),
        "batches": [bundle.profile.min, bundle.profile.opt, bundle.profile.max],
        "sentences": "by its text student" if bundle.text else "by vectors from the cloud",
        "targets": list(described.targets),
        "signed by": bundle.signer,
        "licence": described.licence,
        "unlisted files": list(bundle.unlisted),
        "MiB": round(sum(entry.bytes for entry in bundle.manifest.files.values()) / 2**20, 1),
    }


def of_gallery(path: Path) -> Facts:
    """A gallery, read only."""
    with Gallery.open(path, create=False, read_only=True) as gallery:
        people = gallery.people()
        known = [person for person in people if person.person_id is not None]
        return {
            "path": str(path),
            "space": gallery.space_id,
            "width": gallery.dim,
            "rows": gallery.count,
            "people": len(known),
            "unknown rows": sum(person.rows for person in people if person.person_id is None),
            "first": min((when(person.first) for person in people), default=None),
            "last": max((when(person.last) for person in people), default=None),
            "changes": gallery.last_change,
            "MiB": round(path.stat().st_size / 2**20, 1),
        }


def _words(value: Any) -> str:
    if value is None or value == "":
        return "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)
