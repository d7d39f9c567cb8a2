"""ONNX Runtime, on the CPU or on a GPU by one of its providers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edge_runtime.engines.engine import COORDINATES, Feeds
from reid.errors import UserError

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
INSTALL = "pip install onnxruntime (on a Jetson also: its GPU build, onnxruntime-gpu, from NVIDIA)"


class OnnxRuntimeEngine:
    """A graph in ONNX Runtime.

    Args:
        path: the ONNX file.
        provider: what computes it; what the graph has and the provider lacks runs on the CPU.
        threads: of one operator; 0: as many as there are cores.
        cache: folder where the TensorRT provider keeps its engines; None: nowhere.

    Raises:
        UserError: ONNX Runtime is not installed, lacks the provider, or does not take the file.
    """

    name = "onnxruntime"
    largest = 0

    def __init__(self, path: Path, provider: str = CPU, *, threads: int = 0, cache: Path | None = None) -> None:
        ort = imported()
        if provider not in ort.get_available_providers():
            raise UserError(f"onnxruntime {ort.__version__}: has no {provider}; install its GPU build")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        asked = [(provider, _options(provider, cache))] + ([] if provider == CPU else [(CPU, {})])
        try:
            session = ort.InferenceSession(str(path), options, providers=asked)
        except Exception as error:  # ONNX Runtime's own classes share no base
            raise UserError(f"{path}: ONNX Runtime does not take it ({_words(error)})") from error
        # It falls back to the CPU by itself, with a line in its log, if a provider does not start.
        if session.get_providers()[0] != provider:
            raise UserError(f"onnxruntime {ort.__version__}: {provider} does not start here; its libraries are missing")
        self.provider, self.path = provider, path
        self.inputs = tuple(node.name for node in session.get_inputs())
        self._session: Any = session

    def run(self, feeds: Feeds) -> NDArray[Any]:
        """float32 [n, k] of n rows."""
        session = self._session
        if session is None:
            raise UserError("onnxruntime: the engine has been closed")
        try:
            found: NDArray[Any] = session.run([COORDINATES], feeds)[0]
        except Exception as error:
            raise UserError(f"{self.path}: ONNX Runtime does not run it ({_words(error)})") from error
        return found

    def close(self) -> None:
        """Let the session go; calls that are under way end first."""
        self._session = None


def imported() -> Any:
    """The package.

    Raises:
        UserError: it is not there, or does not load.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(f"onnxruntime: {_absent(error)}; get it with: {INSTALL}") from error
    return onnxruntime


def providers() -> tuple[str, ...]:
    """Those of the installed package that we know, in the order of their speed; empty if it is not installed."""
    try:
        there = imported().get_available_providers()
    except UserError:
        return ()
    return tuple(provider for provider in (TENSORRT, CUDA, CPU) if provider in there)


def _options(provider: str, cache: Path | None) -> dict[str, Any]:
    if provider == CUDA:
        # TF32 has 10 bits of mantissa: fp32 is to be what it says.
        return {"use_tf32": 0}
    if provider == TENSORRT and cache is not None:
        return {
            "trt_engine_cache_enable": True, "trt_engine_cache_path": str(cache),
            "trt_timing_cache_enable": True, "trt_timing_cache_path": str(cache),
        }  # fmt: skip
    return {}


def _absent(error: ImportError) -> str:
    return "not installed" if isinstance(error, ModuleNotFoundError) else _words(error)


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
