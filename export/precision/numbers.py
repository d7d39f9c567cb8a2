"""16-bit floating point: float16 and bfloat16, rounded to as the devices do, to the nearest and ties to even."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

Floats = NDArray[np.float32]
Dtype = Literal["fp16", "bf16"]


@dataclass(frozen=True)
class HalfType:
    """A 16-bit type.

    Attributes:
        name: for names of tensors and files.
        code: ONNX's element type.
        tensor: its name in ONNX's schemas.
        roundoff: greatest relative error of rounding a number of ordinary size.
        largest: finite number.
        smallest: number of ordinary size above 0; below it digits are lost.
    """

    name: Dtype
    code: int
    tensor: str
    roundoff: float
    largest: float
    smallest: float

    def round(self, values: Floats) -> Floats:
        """float32 of the same shape, each the nearest number of this type; what is beyond its range is infinite."""
        if self.name == "fp16":
            with np.errstate(over="ignore", invalid="ignore"):
                return values.astype(np.float16).astype(np.float32)
        bits = values.view(np.uint32).astype(np.uint64)
        upper = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16).astype(np.uint32)
        return np.where(np.isnan(values), np.float32(np.nan), upper.view(np.float32))

    def encode(self, name: str, values: Floats) -> TensorProto:
        """A tensor of this type."""
        rounded = self.round(np.asarray(values, np.float32, order="C"))
        if self.name == "fp16":
            raw = rounded.astype(np.float16).tobytes()
        else:
            raw = (rounded.view(np.uint32) >> 16).astype(np.uint16).tobytes()
        return TensorProto(name=name, data_type=self.code, dims=values.shape, raw_data=raw)


FP16 = HalfType("fp16", TensorProto.FLOAT16, "tensor(float16)", 2.0**-11, 65504.0, 2.0**-14)
BF16 = HalfType("bf16", TensorProto.BFLOAT16, "tensor(bfloat16)", 2.0**-8, 3.3895314e38, 2.0**-126)
HALF_TYPES: dict[str, HalfType] = {half.name: half for half in (FP16, BF16)}
HALF_CODES: dict[int, HalfType] = {half.code: half for half in (FP16, BF16)}


def float_values(tensor: TensorProto) -> Floats:
    """float32 of a tensor of float32, float16 or bfloat16.

    Read from the bits where it is bfloat16: ONNX's own reader gives another numpy type from version to version.
    """
    if tensor.data_type == TensorProto.BFLOAT16:
        raw = np.frombuffer(tensor.raw_data, np.uint16) if tensor.raw_data else np.array(tensor.int32_data)
        return (raw.astype(np.uint32) << 16).view(np.float32).reshape(tuple(tensor.dims))
    values: Floats = onnx.numpy_helper.to_array(tensor).astype(np.float32)
    return values


def float_tensor(name: str, values: Floats) -> TensorProto:
    """A float32 tensor."""
    return numpy_helper.from_array(np.asarray(values, np.float32, order="C"), name)
