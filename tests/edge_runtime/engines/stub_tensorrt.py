"""What a build's child process imports as TensorRT: the stand-in of 10.3.0, whose builder does as a file says.

STUB_TENSORRT names the file. Keys: `log`: file that each build adds its workspace in MiB and its greatest batch to;
`fits`: [MiB, batch] that a build may have at most, else it is out of memory; `kill`: the first so many builds end by
SIGKILL; `hang`: the builder touches this file and waits for ever; `parses`: false: the parser refuses; `bytes`: an
engine's size.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from stand_in import called, stand_in

asked: dict[str, Any] = json.loads(Path(os.environ["STUB_TENSORRT"]).read_text())
trt = stand_in(
    "10.3.0", parses=asked.get("parses", True), says="Error Code 2: out of memory",
    errors=[{"node": 1, "node_name": "live", "node_operator": "Relu", "desc": "not to my taste"}],
)  # fmt: skip


class Builder(trt.Builder):  # type: ignore[misc, name-defined]
    """Builds, or does not."""

    members = frozenset({"network"})

    def build_serialized_network(self, network: Any, config: Any) -> Any:
        ((_, size),) = called(trt, "set_memory_pool_limit")
        ((_, _, _, greatest),) = called(trt, "set_shape")
        workspace, batch = size >> 20, greatest[0]
        with Path(asked["log"]).open("a") as log:
            log.write(f"{workspace} {batch}\n")
        if len(Path(asked["log"]).read_text().splitlines()) <= asked.get("kill", 0):
            os.kill(os.getpid(), signal.SIGKILL)
        if "hang" in asked:
            Path(asked["hang"]).touch()
            signal.pause()
        most, largest = asked.get("fits", (1 << 20, 1 << 20))
        trt.behaviour["builds"] = workspace <= most and batch <= largest
        plan = super().build_serialized_network(network, config)
        return None if plan is None else plan.ljust(asked.get("bytes", 0), b".")


trt.Builder = Builder
sys.modules[__name__] = trt
