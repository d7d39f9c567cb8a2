"""ONNX Runtime, on the CPU or on a GPU by one of its providers."""

from __future__ import annotations

from collections.abc import Mapping
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
        settings: of the provider, see `settings_of`; one that an older version does not know is left out.

    Raises:
        UserError: ONNX Runtime is not installed, lacks the provider, or does not take the file.
    """

    name = "onnxruntime"
    largest = 0

    def __init__(
        self, path: Path, provider: str = CPU, *, threads: int = 0, settings: Mapping[str, Any] | None = None
    ) -> None:
        ort = imported()
        if provider not in ort.get_available_providers():
            raise UserError(f"onnxruntime {ort.__version__}: has no {provider}; install its GPU build")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # A pattern is kept of each batch size that ever comes: a third more memory for no speed.
        options.enable_mem_pattern = False
        session = _session(ort, path, options, provider, settings or {})
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


def settings_of(provider: str, precision: str, cache: Path | None) -> dict[str, Any]:
    """A provider's settings for a graph of a precision; `cache` is where TensorRT's keeps its engines."""
    if provider == CUDA:
        # TF32 has 10 bits of mantissa: fp32 is to be what it says.
        return {"use_tf32": 0}
    if provider != TENSORRT:
        return {}
    found: dict[str, Any] = {"trt_fp16_enable": precision == "fp16", "trt_int8_enable": precision == "int8"}
    if cache is not None:
        found |= {"trt_engine_cache_enable": True, "trt_engine_cache_path": str(cache)}
        found |= {"trt_timing_cache_enable": True, "trt_timing_cache_path": str(cache)}
    return found


def _session(ort: Any, path: Path, options: Any, provider: str, settings: Mapping[str, Any]) -> Any:
    """Raises UserError if ONNX Runtime does not take the file."""
    rest: list[tuple[str, dict[str, Any]]] = [] if provider == CPU else [(CPU, {})]
    why: Exception | None = None
    for chosen in ({**settings}, {}) if settings else ({},):
        try:
            return ort.InferenceSession(str(path), options, providers=[(provider, chosen), *rest])
        except Exception as error:  # ONNX Runtime's own classes share no base
            why = why or error
    assert why is not None
    raise UserError(f"{path}: ONNX Runtime does not take it ({_words(why)})") from why


def _absent(error: ImportError) -> str:
    return "not installed" if isinstance(error, ModuleNotFoundError) else _words(error)


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
