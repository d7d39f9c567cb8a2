"""The one exception that means "you can fix this"."""

from __future__ import annotations


class UserError(Exception):
    """An error that the user caused and can cure.

    The message is one line: the file or option, what was found, what was expected, and the way out.
    The command line prints it without a traceback and exits with code 2. Anything else that escapes is a bug
    and keeps its traceback.
    """
