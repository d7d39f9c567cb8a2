"""Batch sizes that an engine is built for."""

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
