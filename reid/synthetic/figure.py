"""A person as arrays of parts, ready to be looked at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from reid.synthetic.belongings import make_carried, make_head
from reid.synthetic.body import make_arms, make_legs, make_trunk
from reid.synthetic.part import RINGS, Part
from reid.synthetic.person import Person
from reid.synthetic.pose import INDEX

FINE = 65  # sections after interpolation
Float = NDArray[np.float32]


@dataclass(frozen=True)
class Figure:
    """The parts of one person as arrays. P parts.

    Attributes:
        parts: in no particular order.
        starts, ends: int [P], joint numbers.
        side, deep, shift: float32 [P, FINE], cm, for this person's height.
        round_start, round_end, boxy: float32 [P], as in `Part`. headed: bool [P], turns with the head.
    """

    parts: tuple[Part, ...]
    starts: NDArray[np.intp]
    ends: NDArray[np.intp]
    side: Float
    deep: Float
    shift: Float
    round_start: Float
    round_end: Float
    boxy: Float
    headed: NDArray[np.bool_]


@lru_cache(maxsize=1024)
def make_figure(person: Person) -> Figure:
    """The dressed body of a person."""
    parts = (*make_legs(person), *make_trunk(person), *make_arms(person), *make_head(person), *make_carried(person))
    rings = np.array([part.rings for part in parts], dtype=np.float32) * np.float32(person.height / 175)
    at = np.arange(FINE, dtype=np.float32) * np.float32((RINGS - 1) / (FINE - 1))
    low = np.minimum(at.astype(np.intp), RINGS - 2)
    rings = rings[:, low] + (rings[:, low + 1] - rings[:, low]) * (at - low.astype(np.float32))[None, :, None]
    return Figure(
        parts,
        np.array([INDEX[part.start] for part in parts]),
        np.array([INDEX[part.end] for part in parts]),
        np.ascontiguousarray(rings[:, :, 0]),
        np.ascontiguousarray(rings[:, :, 1]),
        np.ascontiguousarray(rings[:, :, 2]),
        np.array([part.round_start for part in parts], dtype=np.float32),
        np.array([part.round_end for part in parts], dtype=np.float32),
        np.array([part.boxy for part in parts], dtype=np.float32),
        np.array([part.order in ("head", "hair", "strand", "hat", "brim") for part in parts]),
    )
