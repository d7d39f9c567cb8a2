"""The table of latencies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from export.bench.runners import NotRun
from export.bench.timing import Latency
from reid.evaluation import format_table


@dataclass(frozen=True)
class Bench:
    """What was timed.

    Attributes:
        latencies: by batch. not_run: what was not, and why. threads: of one operator, in every engine.
        rounds: that were counted. machine: its processor, in words.
    """

    latencies: tuple[Latency, ...]
    not_run: tuple[NotRun, ...]
    threads: int
    rounds: int
    machine: str

    def reference(self, batch: int) -> Latency | None:
        """What ratios are to: torch if it was timed, else the first at this batch."""
        there = [latency for latency in self.latencies if latency.batch == batch]
        return next((latency for latency in there if latency.engine == "torch eager"), there[0] if there else None)

    def ratio(self, latency: Latency) -> float:
        """How many times as fast as the reference."""
        reference = self.reference(latency.batch)
        assert reference is not None
        return reference.median / latency.median

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, latencies in milliseconds."""
        rows = [
            {
                "graph": latency.graph,
                "engine": latency.engine,
                "batch": latency.batch,
                "median_ms": 1000 * latency.median,
                "p99_ms": 1000 * latency.p99,
                "crops_per_second": latency.crops_per_second,
                "times_reference": self.ratio(latency),
            }
            for latency in self.latencies
        ]
        return {
            "machine": self.machine,
            "threads": self.threads,
            "rounds": self.rounds,
            "rows": rows,
            "not_run": [asdict(each) for each in self.not_run],
        }

    def __str__(self) -> str:
        lines = [format_table([self._row(latency) for latency in self.latencies])] if self.latencies else []
        lines.append(
            f"{self.threads} threads in every engine, {self.rounds} interleaved rounds, {self.machine}; "
            f"ratio to {self._reference_name()} at the same batch"
        )
        if any(f".{kind}." in latency.graph for latency in self.latencies for kind in ("fp16", "bf16", "int8")):
            lines.append(
                "fp16, bf16 and int8 graphs are for GPUs; their times on a CPU say nothing of one; int8-cpu is for CPUs"
            )
        lines += [f"not run: {each.graph} in {each.engine}: {each.why}" for each in self.not_run]
        return "\n".join(lines)

    def _reference_name(self) -> str:
        batches: Sequence[int] = [latency.batch for latency in self.latencies]
        first = self.reference(batches[0]) if batches else None
        return "nothing" if first is None else f"{first.graph} in {first.engine}"

    def _row(self, latency: Latency) -> dict[str, str]:
        return {
            "graph": latency.graph,
            "engine": latency.engine,
            "batch": str(latency.batch),
            "median ms": f"{1000 * latency.median:.2f}",
            "p99 ms": f"{1000 * latency.p99:.2f}",
            "crops/s": f"{latency.crops_per_second:.1f}",
            "ratio": f"{self.ratio(latency):.2f}",
        }
