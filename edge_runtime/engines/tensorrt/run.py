"""Running an engine on the GPU: embeddings, and how long they take."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.cuda import Cuda, CudaError, as_array
from edge_runtime.engines.engine import COORDINATES
from edge_runtime.engines.tensorrt.messages import Messages, make_logger
from edge_runtime.engines.tensorrt.modules import called
from reid.errors import UserError


class NoRoom(UserError):
    """The engine is sound, but the GPU has no memory for it now."""


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one batch, copies to and from the GPU included.

    Attributes:
        batch: crops. median, p99: of `runs`. graph: replayed as a CUDA graph, or enqueued call by call.
    """

    batch: int
    median: float
    p99: float
    runs: int
    graph: bool

    def __str__(self) -> str:
        how = "CUDA graph" if self.graph else "without CUDA graph"
        return f"batch {self.batch}: median {self.median:.3f} ms, p99 {self.p99:.3f} ms ({self.runs} runs, {how})"


@dataclass(frozen=True)
class _Tensor:
    """One input or output: its greatest shape, where it lies on the GPU, and here."""

    name: str
    is_input: bool
    shape: tuple[int, ...]
    least: int
    device: int
    host: NDArray[Any]

    def bytes_of(self, batch: int) -> int:
        return self.host[:batch].nbytes


class Runner:
    """An engine with its memory on the GPU. Use as a context manager.

    Args:
        trt: the module that it was built with.
        engine: its bytes. cuda: the runtime.

    Raises:
        UserError: it does not load: of another version, or for another GPU; TensorRT's words are given.
    """

    def __init__(self, trt: Any, engine: bytes, cuda: Cuda) -> None:
        self._trt, self._cuda, self._messages = trt, cuda, Messages()
        self._logger = make_logger(trt, self._messages)
        self._runtime = trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(engine)
        if self._engine is None:
            words = " ".join((self._messages.errors or ["no reason given"])[0].split())[:300]
            raise UserError(f"engine: {called(trt)} does not load it here ({words}); build it again here")
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise NoRoom("engine: no room for it on the GPU; close other programs, or build it for a smaller batch")
        with ExitStack() as stack:
            self._stream = cuda.stream()
            stack.callback(cuda.close_stream, self._stream)
            names = [self._engine.get_tensor_name(place) for place in range(self._engine.num_io_tensors)]
            inputs = [self._tensor(name, stack) for name in names if self._is_input(name)]
            largest = min(tensor.shape[0] for tensor in inputs)
            outputs = [self._tensor(name, stack, largest) for name in names if not self._is_input(name)]
            self._tensors = inputs + outputs
            self._stack = stack.pop_all()
        for tensor in self._tensors:
            self._context.set_tensor_address(tensor.name, tensor.device)

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        # Arrays over the memory go before it.
        self._tensors = []
        self._stack.close()

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of its inputs."""
        return tuple(tensor.name for tensor in self._tensors if tensor.is_input)

    @property
    def smallest(self) -> int:
        """Crops at least; fewer are filled up."""
        return max(tensor.least for tensor in self._tensors)

    @property
    def largest(self) -> int:
        """Crops at most at once."""
        return min(tensor.shape[0] for tensor in self._tensors)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Coordinates float32 [n, k] of one batch of at most `largest`.

        Raises:
            UserError: TensorRT refuses to run it.
        """
        count = len(next(iter(inputs.values())))
        batch = max(count, self.smallest)
        for tensor in self._tensors:
            if tensor.is_input:
                tensor.host[:count] = inputs[tensor.name]
                tensor.host[count:batch] = tensor.host[count - 1]
        self._shape(batch)
        self._enqueue(batch)
        self._cuda.synchronise(self._stream)
        output = next(tensor for tensor in self._tensors if tensor.name == COORDINATES)
        return output.host[:count].astype(np.float32)

    def latency(self, batch: int, *, runs: int = 300, warm: int = 30) -> Latency:
        """Median and 99th percentile of `runs`, after `warm` that do not count."""
        self._shape(batch)
        # The first call after a change of shape prepares things, which a capture must not see.
        self._enqueue(batch)
        self._cuda.synchronise(self._stream)
        graph = self._captured(batch)
        start, end = self._cuda.event(), self._cuda.event()
        times = []
        try:
            for number in range(warm + runs):
                self._cuda.record(start, self._stream)
                if graph:
                    self._cuda.launch(graph, self._stream)
                else:
                    self._enqueue(batch)
                self._cuda.record(end, self._stream)
                took = self._cuda.milliseconds(start, end)
                times += [took] if number >= warm else []
        finally:
            self._cuda.close_event(start)
            self._cuda.close_event(end)
            if graph:
                self._cuda.close_graph(graph)
        return Latency(batch, float(np.median(times)), float(np.percentile(times, 99)), runs, bool(graph))

    def _captured(self, batch: int) -> int:
        """An executable graph of one batch; 0 if something in the engine cannot be captured."""
        try:
            with self._cuda.capture(self._stream) as made:
                self._enqueue(batch)
        except (CudaError, UserError):
            return 0
        return made[0]

    def _shape(self, batch: int) -> None:
        for tensor in self._tensors:
            if tensor.is_input and not self._context.set_input_shape(tensor.name, (batch, *tensor.shape[1:])):
                raise UserError(f"engine: does not take a batch of {batch}; it takes {self.smallest} to {self.largest}")

    def _enqueue(self, batch: int) -> None:
        for tensor in self._tensors:
            if tensor.is_input:
                self._cuda.to_device(tensor.device, tensor.host.ctypes.data, tensor.bytes_of(batch), self._stream)
        if not self._context.execute_async_v3(self._stream):
            words = " ".join((self._messages.errors or ["no reason given"])[-1].split())[:300]
            raise UserError(f"engine: TensorRT does not run it ({words}); build it again here")
        for tensor in self._tensors:
            if not tensor.is_input:
                self._cuda.to_host(tensor.host.ctypes.data, tensor.device, tensor.bytes_of(batch), self._stream)

    def _tensor(self, name: str, stack: ExitStack, largest: int = 0) -> _Tensor:
        """One tensor with memory for its greatest shape; `largest` is the batch of an output."""
        shape = least = tuple(self._engine.get_tensor_shape(name))
        if self._is_input(name) and -1 in shape:
            least, _, shape = (tuple(sizes) for sizes in self._engine.get_tensor_profile_shape(name, 0))
        elif shape[0] == -1:
            shape = (largest, *shape[1:])
        dtype = _dtype(self._trt, self._engine.get_tensor_dtype(name))
        size = int(np.prod(shape)) * dtype.itemsize
        device = self._cuda.malloc(size)
        stack.callback(self._cuda.free, device)
        host = self._cuda.malloc_host(size)
        stack.callback(self._cuda.free_host, host)
        here = as_array(host, shape, dtype)
        # What is timed before anything is embedded computes with it: whatever lay there may be no modality's code.
        here[:] = 0
        return _Tensor(name, self._is_input(name), shape, max(1, least[0]), device, here)

    def _is_input(self, name: str) -> bool:
        return bool(self._engine.get_tensor_mode(name) == self._trt.TensorIOMode.INPUT)


def _dtype(trt: Any, kind: Any) -> np.dtype[Any]:
    """Of a tensor. (`trt.nptype` of 8.6 uses names that NumPy has no more.)"""
    known = {"FLOAT": np.float32, "HALF": np.float16, "INT32": np.int32, "INT64": np.int64}
    for name, dtype in known.items():
        if hasattr(trt.DataType, name) and kind == getattr(trt.DataType, name):
            return np.dtype(dtype)
    raise UserError(f"engine: has a tensor of type {kind}; expected one of {', '.join(known)}")
