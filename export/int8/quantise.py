"""INT8 graphs of a student."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

from onnx import ModelProto

from export.crops import Crops
from export.int8.calibration import Range, input_ranges
from export.int8.layers import chosen_layers, weighted_layers
from export.int8.qdq import Activations, insert
from export.precision.halve import to_half

Typed = Literal["fp16", "fp32"]
"""What is not int8 computes in."""


def quantise(
    model_fp32: ModelProto,
    calibration: Crops,
    *,
    keep: Collection[str] = (),
    typed: Typed = "fp32",
    activations: Activations = "int8",
    rest: ModelProto | None = None,
    ranges: Mapping[str, Range] | None = None,
) -> ModelProto:
    """A graph with Q/DQ: symmetric int8 weights for each output channel, and int8 activations.

    Only layers with weights are quantised; biases, norms, softmax and the products of attention stay as they are.

    Args:
        model_fp32: of a student, with input and output in fp32.
        calibration: crops of every modality, which give activations their ranges.
        keep: names of nodes that are not quantised, beside the head, which never is.
        typed: of what is not quantised. "fp32": for ONNX Runtime and OpenVINO. "fp16": for TensorRT, opset 19.
        activations: "int8": symmetric, as TensorRT needs it. "uint8": faster in ONNX Runtime on x86.
        rest: a typed graph of the same nodes that stands for the rest instead, as when some of them must stay in fp32.
        ranges: as of `input_ranges`, if they are known already; then nothing is calibrated.

    Raises:
        ValueError: `keep` names a node that is no layer, an activation is not finite, or `rest` lacks a layer.
    """
    layers = chosen_layers(model_fp32, keep)
    if ranges is None:
        ranges = input_ranges(model_fp32, layers, calibration)
    if rest is None and typed == "fp16":
        rest = to_half(model_fp32, set(), "fp16")
    if rest is None:
        return insert(model_fp32, layers, ranges, activations=activations)
    # In the typed graph a layer may read a cast of the tensor that was measured.
    measured = {layer.node: ranges[layer.tensor] for layer in layers}
    typed_layers = [layer for layer in weighted_layers(rest) if layer.node in measured]
    missing = sorted(measured.keys() - {layer.node for layer in typed_layers})
    if missing:
        raise ValueError(f"{rest.graph.name}: the typed graph has no layer {missing[0]!r} with weights of its own")
    return insert(rest, typed_layers, {la.tensor: measured[la.node] for la in typed_layers}, activations=activations)
