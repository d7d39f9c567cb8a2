"""Batch sizes that a graph is built for."""

from __future__ import annotations

from dataclasses import dataclass

from reid.errors import UserError


@dataclass(frozen=True)
class Profile:
    """The smallest batch that an engine takes, the one it is tuned for, and the greatest.

    Raises:
        UserError: not 1 <= minimum <= optimum <= maximum.
    """

    minimum: int
    optimum: int
    maximum: int

    def __post_init__(self) -> None:
        if not 1 <= self.minimum <= self.optimum <= self.maximum:
            raise UserError(f"sizes {self}: expected MIN,OPT,MAX with 1 <= MIN <= OPT <= MAX, as in 1,8,16")

    def __str__(self) -> str:
        return f"{self.minimum},{self.optimum},{self.maximum}"

    @property
    def key(self) -> str:
        """As file names have it: 1-8-16."""
        return f"{self.minimum}-{self.optimum}-{self.maximum}"


DEFAULT = Profile(1, 8, 16)
"""One crop, a busy frame, a crowded frame."""


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
