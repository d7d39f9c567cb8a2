"""NVIDIA Model Optimizer's AutoCast as another way to choose and convert, where it is installed."""

from __future__ import annotations

import importlib
import re
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto

from export.crops import Crops
from export.graph.lower import written_opset
from export.precision.borders import first_nodes, head_nodes
from export.precision.fp16 import LIMIT
from export.precision.numbers import Dtype
from export.session import feeds
from reid.errors import UserError

_INSTALL = (
    "pip install --no-deps nvidia-modelopt, and what it imports: pip install --no-deps onnx-graphsurgeon onnxslim "
    "polygraphy pulp omegaconf antlr4-python3-runtime==4.9.3 lief nvidia-ml-py; "
    "or leave --precision-backend at its default"
)


def autocast(
    model: ModelProto, crops: Crops, *, limit: float = LIMIT, dtype: Dtype = "fp16", batch: int = 4
) -> ModelProto:  # fmt: skip
    """A float32 graph converted by AutoCast, with inputs, outputs, normalisation and head in float32.

    Args:
        model: float32, reads images.
        crops: on which AutoCast measures ranges, in batches of `batch`.
        limit: nodes that read or make more stay in float32 (its `data_max`).
        dtype: "fp16", "bf16". AutoCast raises the opset to 22 for bf16.

    Raises:
        UserError: Model Optimizer is not installed, or fails; its words are given.
    """
    convert = _converter()
    inputs = [value.name for value in model.graph.input]
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a package that is not ours, on versions that it was not made for
        folder = Path(name)
        onnx.save(model, folder / "student.onnx")
        calibration = folder / "calibration"
        calibration.mkdir()
        for place, part in enumerate(crops.batches(batch)):
            np.savez(calibration / f"{place:05}.npz", allow_pickle=False, **feeds(part, inputs))
        keep = first_nodes(model) | head_nodes(model)
        try:
            found: ModelProto = convert(
                onnx_path=str(folder / "student.onnx"),
                low_precision_type=dtype,
                nodes_to_exclude=[f"^{re.escape(node)}$" for node in sorted(keep)],
                data_max=limit,
                keep_io_types=True,
                calibration_data=str(calibration),
                opset=written_opset(model) if dtype == "fp16" else None,
            )
        except Exception as error:  # whatever a third party raises; the user can choose the other way
            words = " ".join(str(error).split())[:300]
            raise UserError(
                f"AutoCast of Model Optimizer failed ({type(error).__name__}: {words}); "
                "leave --precision-backend at its default"
            ) from error
    return found


def _converter() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module("modelopt.onnx.autocast").convert_to_mixed_precision
    except ImportError as error:
        raise UserError(f"AutoCast needs NVIDIA Model Optimizer ({error}); {_INSTALL}") from error
