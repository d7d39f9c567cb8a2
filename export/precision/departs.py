"""Where a typed graph departs from its float32 original: the first tensor of all that do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from onnx import ModelProto, NodeProto, TensorProto, helper

from export.crops import Crops
from export.precision.typed import spell_out
from export.precision.wiring import element_types, float_outputs, inferred
from export.session import feeds, open_session
from reid.modality import Modality

BOUND = 0.05
"""Default bound of the relative error. float16 rounds by 0.0005 at most, and a sound graph stays below 0.01."""
_REFERENCE = "reference/"


@dataclass(frozen=True)
class Departure:
    """The first tensor, in graph order, that is not what it is in float32.

    Attributes:
        tensor, node, op: which, and what made it.
        finite: whether it is only wrong, or infinite or not a number.
        crop: place of the crop, among those that were looked at, where it is so first.
        modality: of that crop.
        error: |found - float32| / |float32|, Euclidean, over the whole tensor; infinite if it is not finite.
        before: the same, the greatest over what the node read.
        size: greatest absolute value of the tensor in float32.
    """

    tensor: str
    node: str
    op: str
    finite: bool
    crop: int
    modality: Modality
    error: float
    before: float
    size: float

    def __str__(self) -> str:
        where = f"{self.tensor} of {self.op} {self.node}, {self.modality} crop {self.crop + 1}"
        if not self.finite:
            return f"{where}: infinite or not a number, where float32 goes up to {self.size:.5g}"
        return f"{where}: off by {100 * self.error:.2g} % ({100 * self.before:.2g} % before it), up to {self.size:.5g}"


@dataclass(frozen=True)
class Gap:
    """Of one tensor and one crop: relative error, and greatest absolute value in float32."""

    error: float
    size: float


def first_departure(
    model: ModelProto, reference: ModelProto, crops: Crops, *, bound: float = BOUND, threads: int = 0
) -> Departure | None:
    """The first tensor that is not finite in any crop; if all are, the first whose relative error is above a bound.

    Args:
        model: typed; its tensors have the names that they have in `reference`, as `to_half` leaves them.
        reference: float32.
        crops: looked at one by one.
        bound: of the relative error. threads: of one operator; 0: as many as there are cores.

    Returns:
        None if no tensor departs.
    """
    gaps = tensor_gaps(model, reference, crops, threads=threads)
    worst: dict[str, tuple[float, int]] = {}
    for name in gaps[0] if gaps else ():
        worst[name] = max((gap[name].error, -place) for place, gap in enumerate(gaps))
    for departs in (math.isinf, bound.__lt__):
        for node in model.graph.node:
            for name in node.output:
                if name in worst and departs(worst[name][0]):
                    return _departure(node, name, worst, gaps, crops)
    return None


def tensor_gaps(
    model: ModelProto, reference: ModelProto, crops: Crops, *, threads: int = 0
) -> list[dict[str, Gap]]:  # fmt: skip
    """Of each crop, the gaps of all floating-point tensors that both graphs make, in the reference's order.

    A tensor that is not finite in float32 either, such as a mask, is left out.
    """
    joint, names = _joined(model, reference)
    session = open_session(joint, threads=threads, optimised=False)
    inputs = [value.name for value in session.get_inputs()]
    outputs = [f"{name}/{what}" for name in names for what in _STATISTICS]
    gaps: list[dict[str, Gap]] = []
    for crop in crops.batches(1):
        values = [float(value) for value in session.run(outputs, feeds(crop, inputs))]
        rows = zip(names, values[0::3], values[1::3], values[2::3], strict=True)
        gaps.append({name: _gap(*row) for name, *row in rows if math.isfinite(row[1])})
    return gaps


_STATISTICS = ("error2", "norm2", "size")


def _gap(error2: float, norm2: float, size: float) -> Gap:
    if not math.isfinite(error2):
        return Gap(math.inf, size)
    return Gap(math.sqrt(error2 / norm2) if norm2 > 0 else math.sqrt(error2), size)


def _joined(model: ModelProto, reference: ModelProto) -> tuple[ModelProto, list[str]]:
    """Both graphs side by side on the same inputs, with three float32 [] for each tensor that both make.

    Everything is reduced inside, so that no tensor is held longer than it is needed.
    """
    joint, other = spell_out(model), inferred(reference)
    shared = {value.name for value in other.graph.input}
    for node in other.graph.node:
        node_too = joint.graph.node.add()
        node_too.CopyFrom(node)
        node_too.name = _REFERENCE + node.name
        node_too.input[:] = [name if not name or name in shared else _REFERENCE + name for name in node.input]
        node_too.output[:] = [name and _REFERENCE + name for name in node.output]
    for tensor in other.graph.initializer:
        tensor_too = joint.graph.initializer.add()
        tensor_too.CopyFrom(tensor)
        tensor_too.name = _REFERENCE + tensor.name
    types = element_types(inferred(joint))
    names = [name for name in float_outputs(other, {TensorProto.FLOAT}) if types.get(name) == TensorProto.FLOAT]
    del joint.graph.output[:]
    for name in names:
        joint.graph.node.extend(_statistics(name))
        joint.graph.output.extend(
            helper.make_tensor_value_info(f"{name}/{what}", TensorProto.FLOAT, []) for what in _STATISTICS
        )
    return joint, names


def _statistics(name: str) -> list[NodeProto]:
    reference, difference, absolute = _REFERENCE + name, f"{name}/difference", f"{name}/absolute"
    error2, norm2, size = (f"{name}/{what}" for what in _STATISTICS)
    return [
        helper.make_node("Sub", [name, reference], [difference]),
        helper.make_node("ReduceSumSquare", [difference], [error2], keepdims=0),
        helper.make_node("ReduceSumSquare", [reference], [norm2], keepdims=0),
        helper.make_node("Abs", [reference], [absolute]),
        helper.make_node("ReduceMax", [absolute], [size], keepdims=0),
    ]


def _departure(
    node: NodeProto,
    name: str,
    worst: Mapping[str, tuple[float, int]],
    gaps: list[dict[str, Gap]],
    crops: Crops,
) -> Departure:
    error, place = worst[name][0], -worst[name][1]
    read = [gaps[place][_original(source)].error for source in node.input if _original(source) in gaps[place]]
    return Departure(
        name,
        node.name,
        node.op_type,
        math.isfinite(error),
        place,
        crops.modalities[place],
        error,
        max(read, default=0.0),
        gaps[place][name].size,
    )


def _original(name: str) -> str:
    """The tensor that a cast tensor was cast from."""
    for suffix in (".fp32", ".fp16", ".bf16"):
        name = name.removesuffix(suffix)
    return name
