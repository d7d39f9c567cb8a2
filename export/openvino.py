"""OpenVINO on the CPU, over crops: an engine of its own, and an independent reader of the graphs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from export.crops import Crops
from export.session import COORDINATES, feeds
from reid.errors import UserError
from reid.extras import require


def run_openvino(
    model: Path | ModelProto | Any, crops: Crops, *, batch: int = 16, threads: int = 0, exact: bool = False
) -> NDArray[np.float32]:
    """Coordinates float32 [n, k] of crops, by OpenVINO on the CPU.

    Args:
        model: an .xml or .onnx file, a graph in memory, or an OpenVINO model.
        crops: n of them.
        batch: so many at a time.
        threads: 0: as many as there are cores.
        exact: compute in fp32 what is not quantised, also where the CPU has bf16.

    Raises:
        UserError: OpenVINO is not installed, or does not take the file.
    """
    request = compile_openvino(model, threads=threads, exact=exact).create_infer_request()
    names = [port.get_any_name() for port in request.model_inputs]
    rows = [request.infer(feeds(part, names))[COORDINATES].copy() for part in crops.batches(batch)]
    return np.concatenate(rows)


def compile_openvino(model: Path | ModelProto | Any, *, threads: int = 0, exact: bool = False) -> Any:
    """An `openvino.CompiledModel` for least latency; arguments and errors as of `run_openvino`."""
    require("openvino", "running a model with OpenVINO", "openvino")
    import openvino

    options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads}
    if exact:
        options["INFERENCE_PRECISION_HINT"] = "f32"
    return openvino.Core().compile_model(_read(model), "CPU", options)


def _read(model: Any) -> Any:
    """An OpenVINO model."""
    import openvino

    if not isinstance(model, (Path, ModelProto)):
        return model
    try:
        if isinstance(model, Path):
            return openvino.Core().read_model(model)
        return openvino.Core().read_model(io.BytesIO(model.SerializeToString()))
    except RuntimeError as error:
        name = str(model) if isinstance(model, Path) else model.graph.name
        raise UserError(f"{name}: OpenVINO does not read it ({' '.join(str(error).split())[:300]})") from error
