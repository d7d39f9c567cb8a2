"""An engine of TensorRT as the embedder takes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from numpy.typing import NDArray

from edge_runtime.cuda import CudaError
from edge_runtime.engines.engine import Feeds
from edge_runtime.engines.tensorrt.machine import Machine
from edge_runtime.engines.tensorrt.run import Latency, NoRoom, Runner
from reid.errors import UserError


class TensorRtEngine:
    """An engine that has been loaded. Threads take turns: it has one stream and one set of buffers.

    Args:
        machine: this one. plan: the engine's bytes.

    Raises:
        NoRoom: the GPU has no memory for it now.
        UserError: it does not load: of another version, or for another GPU; TensorRT's words are given.
    """

    name = "tensorrt"

    def __init__(self, machine: Machine, plan: bytes) -> None:
        if machine.trt is None or machine.cuda is None:
            raise UserError(f"TensorRT: {machine.why_not}")
        self.provider = f"TensorRT {machine.version} sm{machine.sm}"
        self._turn = Lock()
        with _in_words():
            self._runner: Runner | None = Runner(machine.trt, plan, machine.cuda)
        self.inputs, self.largest = self._runner.inputs, self._runner.largest

    def run(self, feeds: Feeds) -> NDArray[Any]:
        """float32 [n, k] of n rows; fewer than the engine takes are filled up."""
        with self._turn, _in_words():
            return self._open().run(feeds)

    def latencies(self, batches: tuple[int, ...]) -> list[Latency]:
        """Of each of these batches that the engine takes."""
        with self._turn, _in_words():
            runner = self._open()
            sizes = sorted({batch for batch in batches if runner.smallest <= batch <= runner.largest})
            return [runner.latency(batch) for batch in sizes]

    def close(self) -> None:
        """Give its memory on the GPU back, once what runs has run."""
        with self._turn:
            if self._runner is not None:
                self._runner.__exit__(None, None, None)
                self._runner = None

    def _open(self) -> Runner:
        if self._runner is None:
            raise UserError("tensorrt: the engine has been closed")
        return self._runner


@contextmanager
def _in_words() -> Iterator[None]:
    """What CUDA refuses is a line to the user: nearly always another program has the memory."""
    try:
        yield
    except CudaError as error:
        raise NoRoom(f"tensorrt: {error}; close other programs that use the GPU") from error
