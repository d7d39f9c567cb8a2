"""Progress bars: on a terminal, for what takes longer than two seconds, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def progress_bar(
    items: Iterable[Any] | None = None, *, what: str, unit: str, total: int | None = None, shown: bool = True
) -> tqdm[Any]:
    """A bar over `items`, or one that is advanced by hand with `update`.

    Args:
        items: what is gone through; None for a bar that is advanced by hand.
        what: a word or two in front of the bar.
        unit: what is counted, in the plural.
        total: how many there are, where `items` does not know.
        shown: False never shows it.
    """
    # disable=None asks tqdm to stay silent where standard error is not a terminal, such as a log file.
    return tqdm(items, desc=what, unit=f" {unit}", total=total, delay=2, disable=None if shown else True, leave=False)
