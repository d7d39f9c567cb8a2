"""`edge`: what runs on the device."""

from __future__ import annotations

import warnings
from typing import NoReturn

import click

from reid.cli.shell import HELP_NAMES, LazyGroup, run, version_option

_COMMANDS = {
    "info": ("edge_runtime.cli.info:info_command", "what a bundle, a gallery or this device is"),
    "build": ("edge_runtime.cli.build:build_command", "build and check the engine of a bundle, once"),
    "embed": ("edge_runtime.cli.embed:embed_command", "images or sentences as vectors, in a file"),
    "enroll": (
        "edge_runtime.cli.enroll:enroll_command",
        "put people into a gallery: files, folders, a stream of boxes",
    ),
    "search": ("edge_runtime.cli.search:search_command", "who is this?"),
    "gallery": ("edge_runtime.cli.gallery:gallery_command", "people, delete, rename, merge, export, backup, ..."),
    "sync": ("edge_runtime.cli.sync:sync_command", "ship a gallery's changes to a Milvus server"),
    "bench": ("edge_runtime.cli.bench:bench_command", "how long decoding, preprocessing, the engine and a search take"),
    "verify": ("edge_runtime.cli.verify:verify_command", "is every byte of a bundle or a gallery as it was written?"),
    "doctor": (
        "edge_runtime.cli.doctor:doctor_command",
        "what works here, what does not and why; does the disk flush?",
    ),
}


@click.group("edge", cls=LazyGroup, lazy=_COMMANDS, context_settings=HELP_NAMES)
@version_option
def command() -> None:
    """Embed person crops, keep a gallery and answer who this is, on the device.

    A bundle that is not named is the newest under ./runs, a gallery that is not named is runs/gallery/gallery.db; which
    one it was is said. Every command takes --json.
    """
    # Images of up to reid.images.LARGEST pixels are meant to be decoded; Pillow would warn from 89 million on.
    warnings.filterwarnings("ignore", message=r"Image size \(\d+ pixels\) exceeds limit")


def main() -> NoReturn:
    """Entry point of the console script."""
    run(command, "edge")
