"""OpenVINO, on the CPU."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.engines.engine import COORDINATES, Feeds
from reid.errors import UserError

INSTALL = "pip install openvino"


class OpenVinoEngine:
    """A graph in OpenVINO, for least latency.

    What is not quantised is computed in fp32, also where the CPU has bf16 or fp16, which OpenVINO would take by itself:
    the precision is the graph's business.

    Args:
        path: an ONNX file, or OpenVINO's .xml beside its .bin. threads: 0: as many as there are cores.

    Raises:
        UserError: OpenVINO is not installed, or does not take the file.
    """

    name = "openvino"
    provider = "CPU"
    largest = 0

    def __init__(self, path: Path, *, threads: int = 0) -> None:
        try:
            import openvino
        except ImportError as error:
            why = "not installed" if isinstance(error, ModuleNotFoundError) else " ".join(str(error).split())[:300]
            raise UserError(f"openvino: {why}; get it with: {INSTALL}") from error
        options = {
            "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",
        }  # fmt: skip
        try:
            core = openvino.Core()
            self._model: Any = core.compile_model(core.read_model(path), "CPU", options)
        except RuntimeError as error:
            raise UserError(f"{path}: OpenVINO does not take it ({' '.join(str(error).split())[:300]})") from error
        self.path = path
        self.inputs = tuple(port.get_any_name() for port in self._model.inputs)
        # A request serves one thread at a time; as many are made as threads come.
        self._idle: SimpleQueue[Any] = SimpleQueue()

    def run(self, feeds: Feeds) -> NDArray[Any]:
        """float32 [n, k] of n rows."""
        model = self._model
        if model is None:
            raise UserError("openvino: the engine has been closed")
        request = None
        with suppress(Empty):
            request = self._idle.get_nowait()
        request = request or model.create_infer_request()
        try:
            # The inputs are read where they lie; the output is the request's memory and has to be copied.
            found = np.array(request.infer(dict(feeds), share_inputs=True)[COORDINATES], dtype=np.float32)
        except RuntimeError as error:
            words = " ".join(str(error).split())[:300]
            raise UserError(f"{self.path}: OpenVINO does not run it ({words})") from error
        self._idle.put(request)
        return found

    def close(self) -> None:
        """Let the model go; calls that are under way end first."""
        self._model = None
        with suppress(Empty):
            while True:
                self._idle.get_nowait()
