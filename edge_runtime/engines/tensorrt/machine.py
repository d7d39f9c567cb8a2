"""Whether this machine runs TensorRT engines."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from edge_runtime.cuda import Cuda, CudaError
from edge_runtime.device import Device, look
from edge_runtime.engines.tensorrt.modules import MODULES, find_trt
from reid.errors import UserError


@dataclass(frozen=True)
class Machine:
    """What engines are built and run with.

    Attributes:
        device: facts. trt: TensorRT's module, None if it has none. module: what a child process imports it as.
        cuda: the CUDA runtime, None if it has none. why_not: why no engine runs here, in words; empty if one does.
    """

    device: Device
    trt: Any = None
    cuda: Cuda | None = None
    module: str = MODULES["tensorrt"]
    why_not: str = ""

    @property
    def version(self) -> str:
        """Of TensorRT."""
        return str(getattr(self.trt, "__version__", "none"))

    @property
    def sm(self) -> int:
        """Compute capability of the GPU; 0 if there is none."""
        return self.device.gpus[0] if self.device.gpus else 0

    def workspace(self, most: int, least: int) -> int:
        """MiB that a build may take: half of what is free, at most `most`, but no less than `least`.

        A Jetson's GPU has no memory of its own, so what programs can have of the machine's counts there, too.
        """
        free = []
        if self.cuda is not None:
            with suppress(CudaError):
                free = [self.cuda.memory()[0]]
        free += [self.device.memory_free] if self.device.l4t and self.device.memory_free else []
        return max(least, min([most, *(size // 2 >> 20 for size in free)]))


def look_around() -> Machine:
    """This machine."""
    cuda = None
    try:
        cuda = Cuda()
    except UserError:
        device = look()
    else:
        device = look(cuda=cuda)
    if not device.gpus:
        return Machine(device, why_not=f"no GPU: {device.no_gpu}")
    try:
        found = find_trt("tensorrt")
    except UserError as error:
        return Machine(device, cuda=cuda, why_not=str(error))
    return Machine(device, found.trt, cuda)
