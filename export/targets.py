"""What a student is exported for: chips, what software they run, and what their arithmetic allows."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal

from reid.errors import UserError

FIRST_STRONG = 10
"""The first TensorRT of a Jetson that takes types from a graph."""


@dataclass(frozen=True)
class JetPack:
    """A JetPack release: the software of a Jetson. Versions as its own tools print them."""

    name: str
    l4t: str
    tensorrt: str
    cuda: str
    python: str

    @property
    def strongly_typed(self) -> bool:
        """Whether its TensorRT takes types from a graph; older ones take the fp32 graph and flags."""
        return int(self.tensorrt.partition(".")[0]) >= FIRST_STRONG


JETPACK_5 = JetPack("5.1", "r35", "8.5", "11.4", "3.8")
JETPACK_60 = JetPack("6.0", "r36.3", "8.6", "12.2", "3.10")
JETPACK_62 = JetPack("6.2", "r36.4", "10.3", "12.6", "3.10")
"""And 6.1, which has the same TensorRT."""
JETPACK_70 = JetPack("7.0", "r38", "10.13", "13.0", "3.12")
"""And 7.1; for the Thor family alone."""
JETPACK_72 = JetPack("7.2", "r39.2", "10.16", "13.2", "3.12")

Kind = Literal["host", "rtx", "jetson"]


@dataclass(frozen=True)
class Target:
    """A chip, or a family of chips, that engines are built for.

    Attributes:
        name: on the command line.
        kind: "host": the GPU of this machine; "rtx": an architecture that TensorRT-RTX builds for without a GPU;
            "jetson": builds its own engines.
        description: one line.
        sms: compute capabilities, 86 for 8.6; none for the host, whose GPU says its own.
        jetpacks: that it runs, oldest first.
        min_trt: the oldest TensorRT that a graph for it must suit; None: the newest is at hand.
        dla: how many deep learning accelerators it has beside the GPU.
        peak_tflops: of dense fp16 multiply-accumulates at full clock, 2 operations each.
        bandwidth: of its memory, GB/s.
        proof: the compute capability that TensorRT-RTX builds for in its stead.
    """

    name: str
    kind: Kind
    description: str
    sms: tuple[int, ...] = ()
    jetpacks: tuple[JetPack, ...] = ()
    min_trt: str | None = None
    dla: int = 0
    peak_tflops: float | None = None
    bandwidth: float | None = None
    proof: int | None = None


_ORIN = (JETPACK_60, JETPACK_62, JETPACK_72)
"""An Orin runs JetPack 5, too; there it is exported for as a Xavier is."""


def _orin(name: str, board: str, peak: float, bandwidth: float, dla: int = 0) -> Target:
    # SM 8.6 is of the same generation, Ampere, as the Orins' 8.7.
    return Target(name, "jetson", f"Jetson {board} (SM 8.7)", (87,), _ORIN, "8.6", dla, peak, bandwidth, 86)


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("host", "host", "the GPU of this machine"),
        Target("rtx-turing", "rtx", "RTX 20, T4 (SM 7.5), which TensorRT-RTX has no fp32 matrix products for", (75,)),
        Target("a100", "rtx", "A100 (SM 8.0)", (80,), peak_tflops=312, bandwidth=1555),
        Target("rtx-ampere", "rtx", "RTX 30, A10, A40 (SM 8.6)", (86,)),
        Target("rtx-ada", "rtx", "RTX 40, L4, L40 (SM 8.9)", (89,)),
        Target("rtx-blackwell", "rtx", "RTX 50 and GB10 (SM 12.0, 12.1)", (120, 121)),
        # Peak = SMs x 2048 operations a clock x clock; it reproduces the published sparse INT8 figures.
        _orin("orin-nano", "Orin Nano 8GB", 10.2, 68),
        _orin("orin-nano-super", "Orin Nano Super 8GB", 16.7, 102),
        _orin("orin-nx", "Orin NX 16GB", 15.0, 102, dla=2),
        _orin("agx-orin", "AGX Orin 64GB", 42.6, 205, dla=2),
        # Data sheets: Thor 2070 sparse TFLOPS of FP4, so an eighth of it dense in fp16.
        Target(
            "thor", "jetson", "Jetson AGX Thor (SM 11.0)", (110,), (JETPACK_70, JETPACK_72), "10.13",
            peak_tflops=258, bandwidth=273, proof=120,
        ),
        # Turing is nearer, but not for TensorRT-RTX: it has no fp32 matrix products there, and every head is fp32.
        Target(
            "xavier", "jetson", "Jetson AGX Xavier (SM 7.2), JetPack 5 its last", (72,), (JETPACK_5,), "8.5",
            dla=2, peak_tflops=11, bandwidth=137, proof=86,
        ),
    )
}  # fmt: skip


def find_target(name: str) -> Target:
    """The target of this name.

    Raises:
        UserError: there is none; the nearest names are given.
    """
    if name not in TARGETS:
        near = difflib.get_close_matches(name.lower(), TARGETS, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"choose one of {', '.join(TARGETS)}"
        raise UserError(f"--target: there is no target '{name}'; {hint}")
    return TARGETS[name]


@dataclass(frozen=True)
class Roofline:
    """The least time that a batch can take on a chip, in milliseconds: an estimate, never a measurement.

    Attributes:
        compute: all multiply-accumulates at peak rate.
        weights: all weights read from memory once.
    """

    compute: float
    weights: float

    @property
    def floor(self) -> float:
        """The greater of the two; they overlap at best."""
        return max(self.compute, self.weights)


def roofline(target: Target, gflops: float, weight_bytes: int, batch: int = 1) -> Roofline | None:
    """What a batch costs at least; None where the target is a family, or its figures are not known.

    Args:
        gflops: operations of one crop, 1e9, two for a multiply-accumulate.
        weight_bytes: in the precision that runs.
    """
    if target.peak_tflops is None or target.bandwidth is None:
        return None
    return Roofline(gflops * batch / target.peak_tflops, weight_bytes / target.bandwidth / 1e6)
