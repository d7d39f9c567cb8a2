"""`distill`: the distiller."""

from __future__ import annotations

from typing import NoReturn

import click

from reid.cli.shell import HELP_NAMES, ExtraGroup, run, version_option


@click.group("distill", cls=ExtraGroup, extra="cloud", context_settings=HELP_NAMES)
@version_option
def command() -> None:
    """Distil a teacher's space into a small vision transformer.

    This version has no commands here yet; CHANGELOG.md says what each version brought.
    """


def main() -> NoReturn:
    """Entry point of the console script."""
    run(command, "distill")
