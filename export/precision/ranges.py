"""How large the tensors of a graph get on real crops."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from export.crops import Crops
from export.precision.wiring import element_types, float_outputs, inferred
from export.session import feeds, open_session
from reid.modality import Modality

_SUFFIX = "/absmax"

Ranges = dict[str, float]
"""Of each tensor's name the greatest absolute value. Infinite where it was not finite."""


def activation_ranges(model: ModelProto, crops: Crops, *, batch: int = 8, threads: int = 0) -> Ranges:
    """Greatest absolute value of every float32 tensor that a graph reads or makes, weights aside, in graph order.

    Args:
        model: float32, reads images.
        crops: real ones, of every modality.
        batch: crops at a time. threads: of one operator; 0: as many as there are cores.
    """
    return widest(ranges_by_modality(model, crops, batch=batch, threads=threads).values())


def ranges_by_modality(
    model: ModelProto, crops: Crops, *, batch: int = 8, threads: int = 0
) -> dict[Modality, Ranges]:  # fmt: skip
    """As `activation_ranges`, of the crops of each modality by itself."""
    watched = _watched(model)
    session = open_session(watched, threads=threads, optimised=False)
    inputs = [value.name for value in session.get_inputs()]
    found: dict[Modality, Ranges] = {}
    for modality in dict.fromkeys(crops.modalities):
        rows = [row for row, of in enumerate(crops.modalities) if of == modality]
        found[modality] = _measure(session, (feeds(part, inputs) for part in crops.take(rows).batches(batch)))
    return found


def ranges_of_feeds(model: ModelProto, batches: Iterable[Mapping[str, NDArray[Any]]], *, threads: int = 0) -> Ranges:
    """As `activation_ranges`, of a graph's inputs by name, for graphs that do not read images."""
    return _measure(open_session(_watched(model), threads=threads, optimised=False), batches)


def widest(found: Iterable[Ranges]) -> Ranges:
    """The greatest of several, for each tensor."""
    ranges: Ranges = {}
    for one in found:
        for name, value in one.items():
            ranges[name] = max(value, ranges.get(name, 0.0))
    return ranges


def _measure(session: ort.InferenceSession, batches: Iterable[Mapping[str, NDArray[Any]]]) -> Ranges:
    outputs = [value.name for value in session.get_outputs() if value.name.endswith(_SUFFIX)]
    names = [name.removesuffix(_SUFFIX) for name in outputs]
    return widest(
        {
            # The sum of squares is not finite if one value is not, which a maximum may pass over.
            name: float(value) if np.isfinite(value) else float("inf")
            for name, value in zip(names, session.run(outputs, dict(batch)), strict=True)
        }
        for batch in batches
    )


def _watched(model: ModelProto) -> ModelProto:
    """The graph with one more output for each float32 tensor: its greatest absolute value, float32 []."""
    model = inferred(model)
    types, graph = element_types(model), model.graph
    names = [value.name for value in graph.input if types[value.name] == TensorProto.FLOAT]
    for name in names + float_outputs(model, {TensorProto.FLOAT}):
        graph.node.extend(
            [
                helper.make_node("Abs", [name], [f"{name}/abs"], f"{name}/abs"),
                helper.make_node("ReduceMax", [f"{name}/abs"], [name + _SUFFIX], name + _SUFFIX, keepdims=0),
            ]
        )
        graph.output.append(helper.make_tensor_value_info(name + _SUFFIX, TensorProto.FLOAT, []))
    return model
