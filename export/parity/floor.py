"""What rounding the weights alone costs: below that no choice of nodes gets, as long as their weights are narrow."""

from __future__ import annotations

import onnx
from onnx import ModelProto

from export.precision.numbers import HALF_CODES, float_tensor, float_values


def with_rounded_weights(fp32: ModelProto, half: ModelProto) -> ModelProto:
    """The fp32 graph with each weight rounded that `half`, which was made from it, has in 16 bits."""
    rounded = {
        tensor.name.removesuffix(f".{HALF_CODES[tensor.data_type].name}"): HALF_CODES[tensor.data_type]
        for tensor in half.graph.initializer
        if tensor.data_type in HALF_CODES
    }
    model = ModelProto()
    model.CopyFrom(fp32)
    for tensor in model.graph.initializer:
        if tensor.name in rounded and tensor.data_type == onnx.TensorProto.FLOAT:
            values = rounded[tensor.name].round(float_values(tensor))
            tensor.CopyFrom(float_tensor(tensor.name, values))
    return model
