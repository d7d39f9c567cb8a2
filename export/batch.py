"""Batch sizes that a graph is built for, and the precisions that there are: what the commands need without torch."""

from __future__ import annotations

from edge_runtime.batch import DEFAULT, Profile
from reid.errors import UserError

__all__ = ["DEFAULT", "PRECISIONS", "Profile", "parse_batch"]

PRECISIONS = ("fp32", "fp16", "bf16", "int8")
"""That can be asked for, in the order in which their graphs are made."""


def parse_batch(text: str, option: str = "--batch") -> Profile:
    """The sizes in "MIN,OPT,MAX", or "N" for one size alone; `option` is named in the error.

    Raises:
        UserError: anything else, or sizes that are out of order.
    """
    words = [word.strip() for word in text.split(",")]
    if len(words) not in (1, 3) or not all(word.isascii() and word.isdigit() for word in words):
        raise UserError(f"{option}: found '{text}'; expected three whole numbers MIN,OPT,MAX, as in 1,8,16, or one")
    numbers = [int(word) for word in words]
    try:
        return Profile(*(numbers * 3 if len(numbers) == 1 else numbers))
    except UserError as error:
        raise UserError(f"{option}: {error}") from error
