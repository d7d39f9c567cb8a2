"""What machine this is: read from files, so that a bare Jetson answers without any tool."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_runtime.cuda import Cuda, CudaError
from reid.errors import UserError

_ROOT = Path("/")


@dataclass(frozen=True)
class Device:
    """A machine.

    Attributes:
        model: of a board, "NVIDIA Jetson Orin Nano Developer Kit"; None where nobody says.
        machine: "aarch64" or "x86_64". cores: that this process may use. python: its version.
        l4t: release of the Jetson's Linux, "r36.4"; None on anything else.
        power_mode: number of the Jetson's power mode.
        memory_total, memory_free: bytes; free is what programs can have without swapping.
        gpus: compute capabilities of the GPUs, 87 for 8.7. no_gpu: why there is none, in words.
    """

    model: str | None
    machine: str
    cores: int
    python: str
    l4t: str | None
    power_mode: str | None
    memory_total: int
    memory_free: int
    gpus: tuple[int, ...]
    no_gpu: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "gpus": list(self.gpus)}


def look(root: Path = _ROOT, cuda: Cuda | None = None) -> Device:
    """This machine.

    Args:
        root: where its files lie. cuda: the CUDA runtime; None: it is looked for.
    """
    model, mode = _read(root / "proc/device-tree/model"), _read(root / "var/lib/nvpmodel/status")
    total, free = memory(root)
    gpus, why = find_gpus(cuda)
    return Device(
        model=None if model is None else model.strip("\0\n "),
        machine=platform.machine(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        python=platform.python_version(),
        l4t=jetson_linux(root / "etc/nv_tegra_release"),
        power_mode=None if mode is None else mode.strip().removeprefix("pmode:"),
        memory_total=total,
        memory_free=free,
        gpus=gpus,
        no_gpu=why,
    )


def find_gpus(cuda: Cuda | None = None) -> tuple[tuple[int, ...], str]:
    """Compute capabilities of the GPUs, and if there is none, why."""
    try:
        cuda = cuda or Cuda()
        gpus = tuple(cuda.compute_capability(device) for device in range(cuda.device_count()))
    except UserError:
        return (), "the CUDA runtime library is not here"
    except CudaError as error:
        return (), str(error)
    return gpus, "" if gpus else "the CUDA driver finds none"


def jetson_linux(release: Path = _ROOT / "etc/nv_tegra_release") -> str | None:
    """Release of the Jetson's Linux, "r36.4"; None on anything else."""
    found = re.match(r"# R(\d+) \(release\), REVISION: (\d+)", _read(release) or "")
    return f"r{found[1]}.{found[2]}" if found else None


def memory(root: Path = _ROOT) -> tuple[int, int]:
    """Bytes in all, and bytes that programs can have without swapping; zeros where the kernel does not say."""
    found = dict(re.findall(r"^(\w+):\s+(\d+) kB$", _read(root / "proc/meminfo") or "", re.MULTILINE))
    return int(found.get("MemTotal", 0)) << 10, int(found.get("MemAvailable", 0)) << 10


def temperatures(root: Path = _ROOT) -> dict[str, float]:
    """Degrees Celsius by the sensor's name ("gpu-thermal"); empty where there are none."""
    found = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        name, value = _read(zone / "type"), _read(zone / "temp")
        if name and value and re.fullmatch(r"-?\d+", value.strip()):
            found[name.strip()] = int(value) / 1000
    return found


def power(root: Path = _ROOT) -> dict[str, float]:
    """Watts by the rail's name ("VDD_IN"), of the INA3221 that a Jetson measures itself with; empty elsewhere."""
    found = {}
    for sensor in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        for label in sorted(sensor.glob("in[0-9]*_label")):
            number = label.name[2:].removesuffix("_label")
            volts, amperes = _read(sensor / f"in{number}_input"), _read(sensor / f"curr{number}_input")
            rail = (_read(label) or "").strip()
            if rail and volts and amperes:
                # Millivolts by milliamperes.
                found[rail] = int(volts) * int(amperes) / 1e6
    return found


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
