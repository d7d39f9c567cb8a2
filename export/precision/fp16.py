"""Which nodes of a graph stay in float32, by how large their tensors get on real crops."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from onnx import ModelProto, NodeProto, TensorProto

from export.precision.halve import Halving, Kept
from export.precision.numbers import Dtype, HalfType
from export.precision.ranges import Ranges
from export.precision.sizes import extra_bytes, weight_bytes
from export.precision.wiring import MOVING, consumers, element_types, producers, static_sizes

LIMIT = 512.0
"""Default limit. Above it neighbours in float16 lie 0.5 apart, and 65504 is 128 times as much: room for images that are
unlike those that were measured, and for partial sums that are larger than their total."""
_BETWEEN = "between float32 nodes"

_SQUARING = frozenset(
    {"GroupNormalization", "InstanceNormalization", "LayerNormalization", "LpNormalization", "ReduceL2"}
    | {"ReduceSumSquare", "RMSNormalization"}
)
"""They sum squares; a kernel that does so in float16 overflows from 256 on. TensorRT 8 does so if it is let."""
_SUMMING = frozenset({"AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum", "ReduceL1", "ReduceLogSumExp"})
_LIGHT = frozenset({*MOVING, "Add", "Cast", "Clip", "Div", "Erf", "Gelu", "Mul", "Neg", "Sigmoid", "Softmax", "Sub"})
"""Nothing is saved by 16 bits in these when what they read and what reads them is float32."""


@dataclass(frozen=True)
class Half:
    """A typed graph.

    Attributes:
        model: strongly typed. dtype: of what is not kept.
        limit: of absolute values, that was asked.
        kept: names of all nodes of the float32 graph that compute in float32, in graph order.
        reasons: why, of the same nodes in the same order.
        bytes: of the weights. extra: of them, what keeping the nodes costs.
    """

    model: ModelProto
    dtype: Dtype
    limit: float
    kept: tuple[str, ...]
    reasons: tuple[Kept, ...]
    bytes: int
    extra: int


def range_guided(model: ModelProto, ranges: Ranges, limit: float = LIMIT, *, dtype: Dtype = "fp16") -> Half:
    """A typed graph in which a node stays in float32 if it reads or makes values beyond a limit.

    A large tensor is read and made by float32 nodes only, so it is float32 throughout: a residual stream that grows
    stays float32 from where it grows to the last normalisation, and each block's branch is cast where it is small.

    Args:
        model: float32, nodes named.
        ranges: of its tensors, as measured on it by `activation_ranges`.
        limit: of absolute values.
        dtype: "fp16", "bf16".
    """
    halving = Halving(model, dtype)
    plain = halving.model
    reasons = dict(halving.required)
    for large in _large(plain, ranges, limit, halving.half):
        reasons.setdefault(large.node, large)
    reasons |= {between.node: between for between in _between(plain, reasons)}
    kept = halving.wide(reasons)
    ops = {node.name: node.op_type for node in plain.graph.node}
    typed = halving.convert(kept)
    return Half(
        typed,
        dtype,
        limit,
        kept,
        tuple(reasons.get(name, Kept(name, ops[name], _BETWEEN)) for name in kept),
        weight_bytes(typed),
        sum(extra_bytes(plain, kept).values()),
    )


def _large(model: ModelProto, ranges: Ranges, limit: float, half: HalfType) -> Iterable[Kept]:
    """Nodes with values beyond what they may have, in graph order."""
    sizes = static_sizes(model)
    for node in model.graph.node:
        if node.op_type not in ("Shape", "Size"):
            why = _too_large(node, ranges, limit, half) or _accumulates(node, ranges, sizes, half)
            if why:
                yield Kept(node.name, node.op_type, why)


def _too_large(node: NodeProto, ranges: Ranges, limit: float, half: HalfType) -> str | None:
    for verb, names in (("reads", node.input), ("makes", node.output)):
        for name in names:
            size = ranges.get(name, 0.0)
            if not size <= limit:
                return f"{verb} {name} up to {size:.5g}, the limit is {limit:g}"
            if 0 < size < half.smallest:
                return f"{verb} {name} up to {size:.2g}, too small for {half.name}"
    return None


def _accumulates(node: NodeProto, ranges: Ranges, sizes: Mapping[str, int], half: HalfType) -> str | None:
    """What a kernel that sums in 16 bits would overflow by."""
    size = max((ranges.get(name, 0.0) for name in node.input), default=0.0)
    if node.op_type in _SQUARING and size * size > half.largest:
        return f"squares values up to {size:.5g}"
    if node.op_type in _SUMMING:
        count = max(1, sizes.get(node.input[0], 1) // max(1, sizes.get(node.output[0], 1)))
        if size * count > half.largest:
            return f"sums {count} values up to {size:.5g}"
    return None


def _between(model: ModelProto, kept: Mapping[str, Kept]) -> list[Kept]:
    """Light nodes all of whose neighbours are kept, or are such nodes themselves."""
    types = element_types(model)
    making, reading = producers(model.graph), consumers(model.graph)
    inside = {node.name: node for node in model.graph.node if node.op_type in _LIGHT and node.name not in kept}
    inside = {name: node for name, node in inside.items() if _floats(node.output, types)}
    changed = True
    while changed:
        before = len(inside)
        inside = {
            name: node
            for name, node in inside.items()
            if all(
                other.name in kept or other.name in inside or not _floats((*other.input, *other.output), types)
                for other in _neighbours(node, making, reading, types)
            )
        }
        changed = len(inside) < before
    return [Kept(name, node.op_type, _BETWEEN) for name, node in inside.items()]


def _neighbours(
    node: NodeProto,
    making: Mapping[str, NodeProto],
    reading: Mapping[str, list[NodeProto]],
    types: Mapping[str, int],
) -> list[NodeProto]:
    """Nodes that make floating point that a node reads, or read what it makes."""
    before = [making[name] for name in node.input if name in making and types.get(name) == TensorProto.FLOAT]
    return before + [reader for name in node.output for reader in reading.get(name, [])]


def _floats(names: Iterable[str], types: Mapping[str, int]) -> bool:
    return any(types.get(name) == TensorProto.FLOAT for name in names)
