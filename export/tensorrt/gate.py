"""The engine itself, judged: not the graph that it was built from, but what it answers on the GPU."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edge_runtime.engines.tensorrt.run import Latency, Runner
from export.batch import Profile
from export.parity.bars import bars_of, judge
from export.parity.measure import compare
from export.tensorrt.graphs import Check


@dataclass(frozen=True)
class Verdict:
    """What an engine was found to do.

    Attributes:
        parity: against the fp32 student, in words, and JSON-ready. missed: bars that it misses, in words.
        latencies: by batch.
    """

    parity: str
    numbers: dict[str, Any]
    missed: tuple[str, ...]
    latencies: tuple[Latency, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "parity": self.numbers,
            "missed": list(self.missed),
            "not_measured": ["mAP: an engine is judged by the check crops alone"],
            "latency_ms": [asdict(latency) for latency in self.latencies],
        }


def judge_engine(runner: Runner, check: Check | None, precision: str, profile: Profile) -> Verdict:
    """Run an engine: the check crops through its parity gate, then each batch size of its profile by the clock.

    Args:
        check: crops and the student's answers; None: there is nothing to judge it by.
    """
    words, numbers, missed = "not judged", dict[str, Any](), list[str]()
    if check is not None:
        size = runner.largest
        names = [name for name in check.inputs if name in runner.inputs]
        rows = [
            runner.run({name: check.inputs[name][start : start + size] for name in names})
            for start in range(0, len(check.reference), size)
        ]
        parity = compare(check.reference, np.concatenate(rows), check.modalities)
        words, numbers, missed = str(parity), parity.to_dict(), judge(parity, None, bars_of(precision))
    sizes = sorted({profile.minimum, profile.optimum, profile.maximum})
    latencies = tuple(runner.latency(size) for size in sizes if runner.smallest <= size <= runner.largest)
    return Verdict(words, numbers, tuple(missed), latencies)
