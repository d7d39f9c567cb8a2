"""Sines and arc sines out of rounded tables.

Mathematical libraries differ in the last bit from one machine to the next. Rounded to six decimals they do not, and
the pixel path uses nothing but these tables and IEEE arithmetic.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_SINES = tuple(round(math.sin(math.radians(tenth / 10)), 6) for tenth in range(3600))


def sin(degrees: float) -> float:
    """Sine of an angle in degrees, to the nearest tenth of a degree."""
    return _SINES[round(degrees * 10) % 3600]


def cos(degrees: float) -> float:
    """Cosine of an angle in degrees, to the nearest tenth of a degree."""
    return _SINES[(round(degrees * 10) + 900) % 3600]


@lru_cache(maxsize=4)
def azimuth_columns(columns: int) -> NDArray[np.int64]:
    """Where on a round body a pixel lies: int32 [511], position across -> texture column relative to the middle.

    Entry 255 + n is for the position n / 255 of the half-width, n in -255..255; `columns` go once round the body.
    """
    degrees = [math.degrees(math.asin(n / 255)) for n in range(-255, 256)]
    return np.array([math.floor(round(d, 6) * columns / 360 + 0.5) for d in degrees], dtype=np.int64)


@lru_cache(maxsize=1)
def _sine_table() -> NDArray[np.float32]:
    return np.array(_SINES, dtype=np.float32)


def sines(angles: NDArray[np.integer], per_degree: int = 1) -> NDArray[np.float32]:
    """Sines of whole angles in units of 1 / `per_degree` (1 or 10) degrees, float32, of the same shape."""
    table: NDArray[np.float32] = _sine_table()[(angles * (10 // per_degree)) % 3600]
    return table


def cosines(angles: NDArray[np.integer], per_degree: int = 1) -> NDArray[np.float32]:
    """Cosines of whole angles in units of 1 / `per_degree` (1 or 10) degrees, float32, of the same shape."""
    table: NDArray[np.float32] = _sine_table()[(angles * (10 // per_degree) + 900) % 3600]
    return table
