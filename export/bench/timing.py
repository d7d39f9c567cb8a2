"""Latencies in interleaved rounds: whatever else the machine does meets every runner alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from export.bench.runners import NotRun, Runner

Clock = Callable[[], float]


@dataclass(frozen=True)
class Latency:
    """A runner's latencies at one batch.

    Attributes:
        graph, engine: of the runner. batch: crops at once. seconds: of each round.
    """

    graph: str
    engine: str
    batch: int
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """In seconds."""
        return float(np.median(self.seconds))

    @property
    def p99(self) -> float:
        """99th percentile in seconds; of few rounds, near the slowest."""
        return float(np.percentile(self.seconds, 99))

    @property
    def crops_per_second(self) -> float:
        """At the median."""
        return self.batch / self.median


def measure(
    runners: Sequence[Runner],
    batches: Sequence[int],
    *,
    rounds: int,
    warmup: int = 2,
    clock: Clock = time.perf_counter,
) -> tuple[list[Latency], list[NotRun]]:
    """Time every runner at every batch, in turn, round after round.

    Args:
        runners: which. batches: crops at once. rounds: how many are counted; `warmup` before them are not.
        clock: gives seconds.

    Returns:
        The latencies, by batch and then in the order of the runners; and what failed at a batch.
    """
    found: list[Latency] = []
    failed: list[NotRun] = []
    for batch in batches:
        feeds = {runner.input: runner.input.feeds(batch) for runner in runners}
        alive = list(runners)
        seconds: dict[int, list[float]] = {id(runner): [] for runner in runners}
        for number in range(warmup + rounds):
            for runner in tuple(alive):
                start = clock()
                try:
                    runner.run(feeds[runner.input])
                except Exception as error:  # each engine raises its own
                    alive.remove(runner)
                    failed.append(NotRun(runner.graph, runner.engine, f"batch {batch} fails: {_words(error)}"))
                    continue
                if number >= warmup:
                    seconds[id(runner)].append(clock() - start)
        found += [Latency(runner.graph, runner.engine, batch, tuple(seconds[id(runner)])) for runner in alive]
    return found, failed


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
