"""Model Optimizer's AutoCast: what is said where it is not, and how it is called where it is."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto

from export.crops import Crops
from export.precision.autocast import autocast
from reid.errors import UserError


@pytest.mark.skipif(importlib.util.find_spec("modelopt") is not None, reason="Model Optimizer is installed")
def test_without_model_optimizer_it_is_said_how_to_get_it(graph: ModelProto, crops: Crops) -> None:
    with pytest.raises(UserError, match="pip install --no-deps nvidia-modelopt"):
        autocast(graph, crops)


def stand_in(monkeypatch: pytest.MonkeyPatch, convert: Any) -> None:
    module = types.ModuleType("modelopt.onnx.autocast")
    module.convert_to_mixed_precision = convert  # type: ignore[attr-defined]
    for name in ("modelopt", "modelopt.onnx"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)


def test_it_is_given_the_graph_the_crops_and_the_nodes_to_leave(
    graph: ModelProto, crops: Crops, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def convert_to_mixed_precision(  # the signature of nvidia-modelopt 0.47
        onnx_path: str,
        low_precision_type: str = "fp16",
        nodes_to_exclude: list[str] | None = None,
        op_types_to_exclude: list[str] | None = None,
        nodes_to_include: list[str] | None = None,
        op_types_to_include: list[str] | None = None,
        data_max: float = 512,
        init_max: float = 65504,
        keep_io_types: bool = False,
        calibration_data: str | None = None,
        custom_rule: Any = None,
        init_conversion_max_bytes: int | None = None,
        providers: Any = ("cpu",),
        trt_plugins: Any = (),
        trt_plugins_precision: Any = (),
        max_depth_of_reduction: int | None = None,
        opset: int | None = None,
        use_standalone_type_inference: bool = False,
    ) -> ModelProto:
        assert calibration_data is not None
        batches = [np.load(path)["pixels"] for path in sorted(Path(calibration_data).iterdir())]
        asked.update(pixels=np.concatenate(batches), exclude=nodes_to_exclude, io=keep_io_types, limit=data_max)
        asked.update(opset=opset)
        return onnx.load(onnx_path)

    stand_in(monkeypatch, convert_to_mixed_precision)
    found = autocast(graph, crops, limit=256)
    assert found == graph
    np.testing.assert_array_equal(asked["pixels"], crops.inputs())
    assert asked["io"]
    assert (asked["limit"], asked["opset"]) == (256, 18)
    assert len(asked["exclude"]) > 3


def test_its_failures_are_given_in_its_words(graph: ModelProto, crops: Crops, monkeypatch: pytest.MonkeyPatch) -> None:
    def convert_to_mixed_precision(**_: Any) -> ModelProto:
        raise RuntimeError("node 7\nis odd")

    stand_in(monkeypatch, convert_to_mixed_precision)
    with pytest.raises(UserError, match=r"RuntimeError: node 7 is odd.*precision-backend"):
        autocast(graph, crops)
