"""How long to wait between attempts."""

from __future__ import annotations

import random
from collections.abc import Iterator

FIRST, FACTOR, LONGEST = 1.0, 2.0, 60.0


def pauses(chance: random.Random | None = None) -> Iterator[float]:
    """Seconds to wait after the first failure, the second, ...: 1, 2, 4, ... up to 60, each times 0.5 to 1.

    Chance keeps a fleet of devices from returning all at once when the server does.
    """
    chance = chance or random.Random()
    pause = FIRST
    while True:
        yield pause * chance.uniform(0.5, 1.0)
        pause = min(pause * FACTOR, LONGEST)
