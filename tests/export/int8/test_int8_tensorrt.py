"""INT8 graphs through TensorRT-RTX, which parses and builds without a GPU."""

from __future__ import annotations

import pytest
from onnx import ModelProto

from edge_runtime.engines.tensorrt.build import build_engine
from edge_runtime.engines.tensorrt.options import BuildOptions
from export.batch import Profile
from export.crops import Crops
from export.int8.quantise import Typed, quantise
from reid.errors import UserError

trt = pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX is not installed", exc_type=ImportError)


@pytest.mark.parametrize("typed", ["fp32", "fp16"])
def test_it_parses_and_builds(fp32: ModelProto, calibration: Crops, typed: Typed) -> None:
    model = quantise(fp32, calibration, typed=typed)
    built = build_engine(trt, model.SerializeToString(), BuildOptions("int8", Profile(1, 4, 8), sms=(86,)))
    assert built.engine
    assert built.layers.types()["INT8"]


def test_unsigned_activations_are_not_for_tensorrt(fp32: ModelProto, calibration: Crops) -> None:
    model = quantise(fp32, calibration, activations="uint8")
    with pytest.raises(UserError):
        build_engine(trt, model.SerializeToString(), BuildOptions("int8", Profile(1, 4, 8), sms=(86,)))
