"""`edge`: what runs on the device."""

from __future__ import annotations

from typing import NoReturn

import click

from reid.cli.shell import HELP_NAMES, LazyGroup, run, version_option


@click.group("edge", cls=LazyGroup, context_settings=HELP_NAMES)
@version_option
def command() -> None:
    """Embed person crops, keep a gallery and answer who this is, on the device.

    This version has no commands here yet; CHANGELOG.md says what each version brought.
    """


def main() -> NoReturn:
    """Entry point of the console script."""
    run(command, "edge")
