"""What the gate tried and what it let through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx

from export.parity.bars import Bars
from export.parity.measure import Parity
from export.parity.retrieval import Retrieval
from reid.errors import UserError

MB = 1e6


@dataclass(frozen=True)
class Step:
    """One graph that was tried.

    Attributes:
        what: how it was made, in words. kept: nodes that stayed in a wider type. bytes: of the graph.
        parity: of its typed evaluation. missed: bars that it misses, in words.
    """

    what: str
    kept: int
    bytes: int
    parity: Parity
    missed: tuple[str, ...]

    def row(self, first: Step, fp32_bytes: int) -> dict[str, str]:
        """For a table; sizes beside the first step's and the fp32 graph's."""
        return {
            "tried": self.what,
            "kept": str(self.kept),
            "MB": f"{self.bytes / MB:.2f}",
            "cost MB": f"{(self.bytes - first.bytes) / MB:+.2f}",
            "of fp32": f"{self.bytes / fp32_bytes:.0%}",
            "non-finite": str(self.parity.nonfinite_rows),
            "cosine min": self.parity.row()["cosine min"],
            "mean": self.parity.row()["mean"],
            "bars": "missed" if self.missed else "reached",
        }

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "what": self.what,
            "kept": self.kept,
            "bytes": self.bytes,
            "parity": self.parity.to_dict(),
            "missed": list(self.missed),
        }


@dataclass(frozen=True)
class Gated:
    """A graph and the proof of it.

    Attributes:
        precision: its name. model: the graph. kept: nodes that stayed in a wider type, by name.
        bars: what it had to reach. parity: what it reached. missed: bars that it misses, in words; empty if it passed.
        steps: all that was tried, in order; at least one. fp32_bytes: size of the fp32 graph.
        retrieval: before and after, if there are test people. departure: the first tensor that departs, in words, of
            the first graph that missed a bar. notes: what must be read with it.
        details: what the conversion says of itself; JSON values.
    """

    precision: str
    model: onnx.ModelProto
    kept: tuple[str, ...]
    bars: Bars
    parity: Parity
    missed: tuple[str, ...]
    steps: tuple[Step, ...]
    fp32_bytes: int
    retrieval: Retrieval | None = None
    departure: str = ""
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether every bar that was measured is reached."""
        return not self.missed

    @property
    def bytes(self) -> int:
        """Size of the graph."""
        return int(self.model.ByteSize())

    @property
    def cost(self) -> int:
        """Bytes more than the first graph that was tried."""
        return self.bytes - self.steps[0].bytes

    def sentence(self) -> str:
        """The outcome."""
        size = f"{self.bytes / MB:.2f} MB"
        if not self.passed:
            return f"{self.precision}: misses a bar, {size}: {'; '.join(self.missed)}"
        kept = f"{len(self.kept)} nodes kept in a wider type" if self.kept else "no node kept in a wider type"
        cost = f", {self.cost / MB:+.2f} MB for what the first try missed" if len(self.steps) > 1 else ""
        return f"{self.precision}: passes, {size}, {kept}{cost}: {self.parity}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without the graph."""
        return {
            "precision": self.precision,
            "passed": self.passed,
            "bytes": self.bytes,
            "fp32_bytes": self.fp32_bytes,
            "bars": self.bars.to_dict(),
            "missed": list(self.missed),
            "kept": list(self.kept),
            "parity": self.parity.to_dict(),
            "steps": [step.to_dict() for step in self.steps],
            "retrieval": None if self.retrieval is None else self.retrieval.to_dict(),
            "departure": self.departure,
            "notes": list(self.notes),
            "details": dict(self.details),
        }


class BelowTheBarError(UserError):
    """No graph of a precision reaches its bars; `gated` has the one that comes nearest, and all that was tried."""

    def __init__(self, gated: Gated) -> None:
        self.gated = gated
        tried = f"{len(gated.steps)} graphs were tried" if len(gated.steps) > 1 else "one graph was tried"
        departs = f"; first to depart: {gated.departure}" if gated.departure else ""
        super().__init__(
            f"{gated.precision} misses its bar: {'; '.join(gated.missed)}{departs}; {tried}; export fp32, or accept "
            "the drift with --allow-drift"
        )
