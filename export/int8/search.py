"""Which layers are left out of INT8 until a graph is good enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from onnx import ModelProto

from export.crops import Crops
from export.int8.calibration import input_ranges
from export.int8.layers import chosen_layers
from export.int8.qdq import Activations
from export.int8.quantise import Typed, quantise
from export.int8.sensitivity import LayerLoss, sensitivity


@dataclass(frozen=True)
class Int8:
    """What came of quantising a student.

    Attributes:
        model: the graph.
        passed: whether it is good enough. If even the graph without any int8 layer is not, `model` is that one.
        losses: of every layer, worst first.
        kept: the layers that are not int8, worst first.
        typed: what those compute in.
        tried: numbers of layers that were kept, in the order of the attempts.
    """

    model: ModelProto
    passed: bool
    losses: tuple[LayerLoss, ...]
    kept: tuple[LayerLoss, ...]
    typed: Typed
    tried: tuple[int, ...]

    @property
    def extra_bytes(self) -> int:
        """What the kept layers add to the size of a graph in which all are int8."""
        return sum(loss.layer.cost(self.typed) for loss in self.kept)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "passed": self.passed,
            "rest": self.typed,
            "layers": len(self.losses),
            "kept": [loss.node for loss in self.kept],
            "kept_bytes": self.extra_bytes,
            "tried": list(self.tried),
            "sensitivity": {loss.node: {"mean": loss.mean, "worst": loss.worst} for loss in self.losses},
        }

    def __str__(self) -> str:
        count, total = len(self.kept), len(self.losses)
        cost = f"{self.extra_bytes / 1e6:.2f} MB more"
        if not self.passed:
            return f"int8 does not reach the bar, not even with all {total} layers in {self.typed}"
        if count == total:
            return f"int8 reaches the bar only with all {total} layers in {self.typed} ({cost}): nothing of it is int8"
        if not count:
            return f"all {total} layers are int8"
        names = ", ".join(loss.node for loss in self.kept)
        return f"{total - count} of {total} layers are int8, the worst {count} stay in {self.typed} ({cost}): {names}"


def int8_graph(
    model_fp32: ModelProto,
    calibration: Crops,
    check: Crops,
    *,
    passes: Callable[[ModelProto], bool],
    typed: Typed = "fp32",
    activations: Activations = "int8",
    rest: ModelProto | None = None,
    threads: int = 0,
) -> Int8:
    """The graph with the fewest layers left out that `passes`, leaving them out worst first.

    Args:
        model_fp32: of a student.
        calibration: crops that give activations their ranges. check: crops that the layers' losses are measured on.
        passes: whether a graph is good enough. It is asked about twice the binary logarithm of the number of layers
            times, so it may take a while; keeping more layers is taken to be never worse.
        typed, activations, rest: as of `quantise`.
        threads: of one operator; 0: as many as there are cores.
    """
    ranges = input_ranges(model_fp32, chosen_layers(model_fp32), calibration, threads=threads)
    losses = sensitivity(model_fp32, check, calibration, activations=activations, ranges=ranges, threads=threads)
    tried: list[int] = []

    def keeping(count: int) -> ModelProto:
        return quantise(
            model_fp32, calibration, keep={loss.node for loss in losses[:count]}, typed=typed, activations=activations,
            rest=rest, ranges=ranges,
        )  # fmt: skip

    def good(count: int) -> bool:
        tried.append(count)
        return passes(keeping(count))

    least = fewest(len(losses), good)
    count = len(losses) if least is None else least
    return Int8(keeping(count), least is not None, tuple(losses), tuple(losses[:count]), typed, tuple(tried))


def fewest(total: int, good: Callable[[int], bool]) -> int | None:
    """The least count from 0 to `total` that is good, if more is never worse; None if not even `total` is.

    Few are enough as a rule, so 0, 1, 2, 4, ... are tried first, and then the gap below the first good one is halved.
    """
    bad, count = -1, 0
    while not good(count):
        if count == total:
            return None
        bad, count = count, min(max(1, 2 * count), total)
    while count - bad > 1:
        middle = (bad + count) // 2
        if good(middle):
            count = middle
        else:
            bad = middle
    return count
