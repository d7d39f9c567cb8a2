"""What a doctor found: one line for each thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        state: "ok", "note" (it works, with less) or "BAD". about: of what. words: what was found.
    """

    state: str
    about: str
    words: str

    def __str__(self) -> str:
        return f"{self.state:<5}{self.about}: {self.words}"
