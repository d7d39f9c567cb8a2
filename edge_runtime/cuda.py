"""The CUDA runtime by ctypes: memory, streams, events and graphs, which is all that an engine needs of it.

TensorRT's Python allocates no memory, and a device has neither torch nor pycuda. The calls here are the same in CUDA
11.4 to 13 (JetPack 5 to 7).
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, byref, c_char_p, c_float, c_int, c_size_t, c_ulonglong, c_void_p
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reid.errors import UserError

NAMES = ("libcudart.so", "libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0")
_TO_DEVICE, _TO_HOST = 1, 2
_MAJOR, _MINOR = 75, 76  # attributes of a device: its compute capability
_RELAXED = 2  # capture mode: other threads may allocate meanwhile

_CALLS: dict[str, tuple[Any, ...]] = {
    "cudaGetDeviceCount": (POINTER(c_int),),
    "cudaDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cudaMemGetInfo": (POINTER(c_size_t), POINTER(c_size_t)),
    "cudaMalloc": (POINTER(c_void_p), c_size_t),
    "cudaFree": (c_void_p,),
    "cudaMallocHost": (POINTER(c_void_p), c_size_t),
    "cudaFreeHost": (c_void_p,),
    "cudaMemcpyAsync": (c_void_p, c_void_p, c_size_t, c_int, c_void_p),
    "cudaStreamCreate": (POINTER(c_void_p),),
    "cudaStreamDestroy": (c_void_p,),
    "cudaStreamSynchronize": (c_void_p,),
    "cudaStreamBeginCapture": (c_void_p, c_int),
    "cudaStreamEndCapture": (c_void_p, POINTER(c_void_p)),
    "cudaGraphInstantiateWithFlags": (POINTER(c_void_p), c_void_p, c_ulonglong),
    "cudaGraphLaunch": (c_void_p, c_void_p),
    "cudaGraphExecDestroy": (c_void_p,),
    "cudaGraphDestroy": (c_void_p,),
    "cudaEventCreate": (POINTER(c_void_p),),
    "cudaEventRecord": (c_void_p, c_void_p),
    "cudaEventSynchronize": (c_void_p,),
    "cudaEventElapsedTime": (POINTER(c_float), c_void_p, c_void_p),
    "cudaEventDestroy": (c_void_p,),
}


class CudaError(RuntimeError):
    """A call of the CUDA runtime failed; the message has the call and CUDA's words."""


class Cuda:
    """The CUDA runtime. Addresses and handles are plain integers.

    Args:
        library: its file; by default the first that is found of `NAMES`, also among pip's packages.

    Raises:
        UserError: there is none, or it lacks a call.
    """

    def __init__(self, library: Path | str | None = None) -> None:
        self._library = _load(library)
        self._library.cudaGetErrorString.restype = c_char_p
        for name, kinds in _CALLS.items():
            if not hasattr(self._library, name):
                raise UserError(f"{self._library._name}: has no {name}; CUDA 11.4 or newer is needed")
            getattr(self._library, name).argtypes = kinds

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            raise CudaError(f"{name}: CUDA error {status} ({self._library.cudaGetErrorString(status).decode()})")

    def _new(self, name: str, *arguments: Any) -> int:
        handle = c_void_p()
        self._call(name, byref(handle), *arguments)
        return handle.value or 0

    def device_count(self) -> int:
        """How many GPUs there are; 0 if the driver is missing or too old."""
        count = c_int()
        return count.value if self._library.cudaGetDeviceCount(byref(count)) == 0 else 0

    def compute_capability(self, device: int = 0) -> int:
        """Of a GPU: 87 for 8.7."""
        major, minor = c_int(), c_int()
        self._call("cudaDeviceGetAttribute", byref(major), _MAJOR, device)
        self._call("cudaDeviceGetAttribute", byref(minor), _MINOR, device)
        return 10 * major.value + minor.value

    def memory(self) -> tuple[int, int]:
        """Bytes free, and all bytes, of the current GPU."""
        free, total = c_size_t(), c_size_t()
        self._call("cudaMemGetInfo", byref(free), byref(total))
        return free.value, total.value

    def malloc(self, size: int) -> int:
        """Address of `size` bytes on the GPU."""
        return self._new("cudaMalloc", size)

    def free(self, address: int) -> None:
        """Give memory of `malloc` back."""
        self._call("cudaFree", address)

    def malloc_host(self, size: int) -> int:
        """Address of `size` bytes of this machine's memory that never move, which copies need to be asynchronous."""
        return self._new("cudaMallocHost", size)

    def free_host(self, address: int) -> None:
        """Give memory of `malloc_host` back."""
        self._call("cudaFreeHost", address)

    def to_device(self, target: int, source: int, size: int, stream: int) -> None:
        """Copy `size` bytes to the GPU once the stream comes to it."""
        self._call("cudaMemcpyAsync", target, source, size, _TO_DEVICE, stream)

    def to_host(self, target: int, source: int, size: int, stream: int) -> None:
        """Copy `size` bytes from the GPU once the stream comes to it."""
        self._call("cudaMemcpyAsync", target, source, size, _TO_HOST, stream)

    def stream(self) -> int:
        """A new stream."""
        return self._new("cudaStreamCreate")

    def synchronise(self, stream: int) -> None:
        """Wait until the stream has done all that it was given."""
        self._call("cudaStreamSynchronize", stream)

    def close_stream(self, stream: int) -> None:
        """Give a stream back."""
        self._call("cudaStreamDestroy", stream)

    @contextmanager
    def capture(self, stream: int) -> Iterator[list[int]]:
        """Record what the stream is given instead of doing it; the list holds the executable graph afterwards."""
        made: list[int] = []
        self._call("cudaStreamBeginCapture", stream, _RELAXED)
        try:
            yield made
        except BaseException:
            # The stream must leave the capture whatever happened in it; what it recorded is of no use.
            broken = c_void_p()
            if self._library.cudaStreamEndCapture(stream, byref(broken)) == 0 and broken.value:
                self._call("cudaGraphDestroy", broken.value)
            raise
        graph = c_void_p()
        self._call("cudaStreamEndCapture", stream, byref(graph))
        made.append(self._new("cudaGraphInstantiateWithFlags", graph.value, 0))
        self._call("cudaGraphDestroy", graph.value)

    def launch(self, graph: int, stream: int) -> None:
        """Do what was captured."""
        self._call("cudaGraphLaunch", graph, stream)

    def close_graph(self, graph: int) -> None:
        """Give an executable graph back."""
        self._call("cudaGraphExecDestroy", graph)

    def event(self) -> int:
        """A new event."""
        return self._new("cudaEventCreate")

    def record(self, event: int, stream: int) -> None:
        """Let the event happen once the stream comes to it."""
        self._call("cudaEventRecord", event, stream)

    def milliseconds(self, start: int, end: int) -> float:
        """Between two recorded events; waits for the second."""
        self._call("cudaEventSynchronize", end)
        passed = c_float()
        self._call("cudaEventElapsedTime", byref(passed), start, end)
        return passed.value

    def close_event(self, event: int) -> None:
        """Give an event back."""
        self._call("cudaEventDestroy", event)


def as_array(address: int, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """The memory at `address` as an array; it is the caller's to keep it until the array has gone."""
    kind = np.dtype(dtype)
    size = int(np.prod(shape)) * kind.itemsize
    return np.frombuffer((ctypes.c_char * size).from_address(address), dtype=kind).reshape(shape)


def _load(library: Path | str | None) -> Any:
    tried = [str(library)] if library is not None else [*NAMES, *_of_pip()]
    for name in tried:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise UserError(
        f"CUDA runtime: none of {', '.join(tried)} can be loaded; a Jetson has it from JetPack, another machine from "
        "its NVIDIA driver with: pip install nvidia-cuda-runtime (nvidia-cuda-runtime-cu12 for CUDA 12)"
    )


def _of_pip() -> list[str]:
    """Where NVIDIA's wheels put the library."""
    return [
        str(path)
        for place in map(Path, sys.path)
        if (place / "nvidia").is_dir()
        for path in sorted((place / "nvidia").glob("*/lib/libcudart.so.*"), reverse=True)
    ]
