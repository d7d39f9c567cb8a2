"""`distill`: the distiller."""

from __future__ import annotations

from typing import NoReturn

import click

from reid.cli import shell
from reid.cli.shell import HELP_NAMES, ExtraGroup, version_option

_COMMANDS = {
    "spectrum": ("distill.cli.spectrum:spectrum", "how many coordinates of the teacher hold what tells people apart"),
    "run": ("distill.cli.run:run_command", "distil a teacher into a student"),
    "eval": ("distill.cli.evaluate:evaluate_command", "score a student against its teacher, edge and cloud"),
    "compare": ("distill.cli.compare:compare_command", "run methods side by side, over several seeds"),
    "list": ("distill.cli.list:list_command", "list the losses, students or recipes"),
}


@click.group("distill", cls=ExtraGroup, extra="cloud", lazy=_COMMANDS, context_settings=HELP_NAMES)
@version_option
def command() -> None:
    """Distil a teacher's space into a small vision transformer."""


def main() -> NoReturn:
    """Entry point of the console script."""
    # Not imported by itself: once the module `run` is loaded, that name is the module here.
    shell.run(command, "distill")
