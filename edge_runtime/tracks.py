"""Tracklets out of a stream: the crops of a track are held until there are enough of them, or it has ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from edge_runtime.enrol import Observation

Key = tuple[str | None, str]
"""Camera and track."""


@dataclass
class Tracks:
    """Crops by camera and track.

    What is held here is in memory only, and a crash loses it: that is given up for rows that rest on several crops.

    Attributes:
        most: crops of a tracklet; it is complete with so many.
        gap: seconds of the stream's own time without a crop, after which a track has ended.
    """

    most: int = 8
    gap: float = 2.0
    _open: dict[Key, list[Observation]] = field(default_factory=dict)

    def take(self, seen: Iterable[Observation]) -> list[list[Observation]]:
        """Add a frame's observations; the tracklets that are complete now. One without a track is complete at once."""
        done = []
        for one in seen:
            if one.track is None:
                done.append([one])
                continue
            done += list(self._ended(one.time))
            held = self._open.setdefault((one.camera_id, one.track), [])
            held.append(one)
            if len(held) >= self.most:
                done.append(self._open.pop((one.camera_id, one.track)))
        return done

    def rest(self) -> list[list[Observation]]:
        """All that is held; nothing is afterwards."""
        held, self._open = list(self._open.values()), {}
        return held

    def _ended(self, now: float) -> Iterator[list[Observation]]:
        # A clock that went backwards ends nothing: the track goes on by its new times.
        for key in [key for key, held in self._open.items() if now - held[-1].time > self.gap]:
            yield self._open.pop(key)
