"""What every console script shares: lazy commands, extras asked for by name, errors in one line."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any, NoReturn

import click

from reid import __version__
from reid.errors import UserError
from reid.extras import require

HELP_NAMES = {"help_option_names": ["-h", "--help"]}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, so that `reid --help` needs none of their packages.

    Args:
        lazy: command name -> ("module:attribute", line of help).
    """

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = dict(lazy or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order in which they were given."""
        return [*self.lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now if it is lazy."""
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self.lazy[cmd_name][0].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands without importing the lazy ones."""
        rows = [(name, text) for name, (_, text) in self.lazy.items()]
        rows += [(name, command.get_short_help_str(90)) for name, command in self.commands.items()]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


class ExtraGroup(LazyGroup):
    """A group that needs an extra: every call but `--help` and `--version` first checks that it is installed."""

    def __init__(self, *args: Any, extra: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.extra = extra

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse in one line if the extra is missing."""
        if not {"-h", "--help", "--version"} & set(args):
            require(self.extra, ctx.command_path)
        return super().parse_args(ctx, args)


def run(command: click.Command, name: str) -> NoReturn:
    """Run a console script: 0 if it worked, 2 with one line for what the user can cure, a traceback for a bug."""
    try:
        sys.exit(command.main(prog_name=name, standalone_mode=False) or 0)
    except UserError as error:
        click.echo(f"error: {' '.join(str(error).split())}", err=True)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
    except click.ClickException as error:
        click.echo(f"error: {error.format_message()}", err=True)
        if isinstance(error, click.UsageError) and error.ctx is not None:
            click.echo(f"try: {error.ctx.command_path} --help", err=True)
    except click.Abort:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # The reader (`| head`) has gone; there is nobody to tell.
        sys.stderr.close()
        sys.exit(141)
    sys.exit(2)


version_option = click.version_option(__version__, package_name="reid-distill", message="%(prog)s %(version)s")
