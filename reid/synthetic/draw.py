"""Random draws that are the same on every machine: a stream is SHAKE-128 of its key, nothing else.

NumPy promises its bit generators across versions but not the methods that turn bits into numbers, and a stateful
generator makes sample i depend on sample i - 1. Here every number comes from hashing a key such as
("shot", seed, person, camera, number), so any sample is computed alone. Only integers and IEEE arithmetic follow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from struct import Struct
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

_WORDS = 42  # 168 bytes, one block of SHAKE-128
_UNPACK = Struct(f"<{_WORDS}I").unpack


class Draw:
    """The random numbers of one key, in order.

    Args:
        key: what the numbers are for; integers and strings.
    """

    __slots__ = ("_block", "_key", "_words")

    def __init__(self, *key: int | str) -> None:
        self._key = key
        self._block = 0
        self._words: list[int] = []

    def word(self) -> int:
        """The next 32 bits."""
        if not self._words:
            raw = hashlib.shake_128(repr((*self._key, self._block)).encode()).digest(4 * _WORDS)
            self._words = list(_UNPACK(raw))
            self._block += 1
        return self._words.pop()

    def below(self, n: int) -> int:
        """An integer in [0, n), each with a probability of 1/n to within n / 2**32."""
        return self.word() * n >> 32

    def between(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * (self.word() / 4294967296.0)

    def bell(self, spread: float) -> float:
        """A number with mean 0 in (-2 spread, 2 spread), bell-shaped: the sum of two even draws."""
        return spread * ((self.word() + self.word()) / 2147483648.0 - 2.0)

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.word() < probability * 4294967296.0

    def pick(self, items: Sequence[T]) -> T:
        """One of `items`, all equally likely."""
        return items[self.below(len(items))]

    def weighted(self, items: Sequence[tuple[T, int]]) -> T:
        """One of `items`, pairs of a value and its integer weight."""
        left = self.below(sum(weight for _, weight in items))
        for value, weight in items:
            left -= weight
            if left < 0:
                return value
        raise AssertionError("weights are positive")

    def order(self, items: Sequence[T]) -> list[T]:
        """`items` in random order (Fisher-Yates)."""
        mixed = list(items)
        for i in range(len(mixed) - 1, 0, -1):
            j = self.below(i + 1)
            mixed[i], mixed[j] = mixed[j], mixed[i]
        return mixed


def random_bytes(shape: tuple[int, ...], *key: int | str) -> NDArray[np.uint8]:
    """Even random bytes, uint8, of this shape and key."""
    count = 1
    for n in shape:
        count *= n
    raw = hashlib.shake_128(repr(key).encode()).digest(count)
    return np.frombuffer(raw, dtype=np.uint8).reshape(shape)


@lru_cache(maxsize=1)
def grain() -> NDArray[np.float32]:
    """Sensor grain, float32 [320, 320], bell-shaped, mean about 0, standard deviation about 1. Read-only."""
    dice = random_bytes((4, 320, 320), "grain").astype(np.int32)
    table: NDArray[np.float32] = ((dice.sum(axis=0) - 510).astype(np.float32) / np.float32(148.0)).astype(np.float32)
    table.setflags(write=False)
    return table


@lru_cache(maxsize=8)
def smooth_noise(cell: int) -> NDArray[np.float32]:
    """Cloudy noise, float32 [256, 256] in [-1, 1], periodic, with bumps about `cell` pixels wide. Read-only.

    Args:
        cell: a divisor of 256. Random values on a grid of this spacing, joined bilinearly.
    """
    n = 256 // cell
    coarse = (random_bytes((n, n), "smooth", cell).astype(np.float32) - np.float32(127.5)) / np.float32(127.5)
    weight = (np.arange(256) % cell).astype(np.float32) / np.float32(cell)
    low = np.arange(256) // cell
    high = (low + 1) % n
    rows: NDArray[np.float32] = coarse[low] + (coarse[high] - coarse[low]) * weight[:, None]
    table: NDArray[np.float32] = rows[:, low] + (rows[:, high] - rows[:, low]) * weight[None, :]
    table.setflags(write=False)
    return table
