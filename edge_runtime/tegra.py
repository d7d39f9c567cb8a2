"""Power and temperature of a Jetson while something runs, as tegrastats reads them: from sysfs, without root.

Nothing here has run on a Jetson yet; the files are those of NVIDIA's documentation for JetPack 5 to 7 and were imitated
in tests.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from edge_runtime.device import jetson_linux, power, temperatures

_ROOT = Path("/")
_RELEASE = "etc/nv_tegra_release"
_EVERY = 0.1
"""Seconds between two readings; the sensors themselves average over about as long."""


@dataclass
class Range:
    """Of readings."""

    least: float = float("inf")
    most: float = float("-inf")
    total: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        """One more."""
        self.least, self.most = min(self.least, value), max(self.most, value)
        self.total, self.count = self.total + value, self.count + 1

    @property
    def mean(self) -> float:
        """Of all."""
        return self.total / self.count

    def to_dict(self) -> dict[str, float]:
        """JSON-ready."""
        return {"mean": round(self.mean, 3), "most": round(self.most, 3)}


@dataclass
class Readings:
    """What was read. `watts` by rail, `celsius` by sensor; `why_not`: why there is nothing, in words."""

    watts: dict[str, Range] = field(default_factory=dict)
    celsius: dict[str, Range] = field(default_factory=dict)
    why_not: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "watts": {name: found.to_dict() for name, found in self.watts.items()},
            "celsius": {name: found.to_dict() for name, found in self.celsius.items()},
            "why_not": self.why_not,
        }

    def lines(self) -> list[str]:
        """For people."""
        if self.why_not:
            return [self.why_not]
        told = [f"{name}: {found.mean:.2f} W, at most {found.most:.2f}" for name, found in self.watts.items()]
        return told + [f"{name}: at most {found.most:.1f} °C" for name, found in self.celsius.items()]


class Meter:
    """Reads power and temperature in a thread of its own while its context lasts.

    Args:
        root: where the machine's files lie. every: seconds between two readings.
    """

    def __init__(self, root: Path = _ROOT, every: float = _EVERY) -> None:
        self.readings = Readings()
        self._root, self._every = root, every
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        if jetson_linux(root / _RELEASE) is None:
            self.readings.why_not = "not a Jetson: no power or temperature is read"

    def __enter__(self) -> Meter:
        if not self.readings.why_not:
            self.read()
            self._thread = threading.Thread(target=self._run, name="tegra", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self.read()
            if not self.readings.watts and not self.readings.celsius:
                self.readings.why_not = "a Jetson, but its sensors cannot be read"

    def read(self) -> None:
        """One reading."""
        for found, ranges in (
            (power(self._root), self.readings.watts),
            (temperatures(self._root), self.readings.celsius),
        ):
            for name, value in found.items():
                ranges.setdefault(name, Range()).add(value)

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            self.read()
