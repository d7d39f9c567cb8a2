"""Does the disk really flush? What can be measured, and what cannot.

A commit is as durable as one fdatasync. A program sees how long it takes and what the kernel says of the device;
whether a drive keeps what it said to have flushed when its power goes, only pulling the plug tells.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from reid.errors import UserError

ROUNDS = 40
_BYTES = 1200
"""About a row of the gallery."""
MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs"})
NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "ceph", "glusterfs", "afs", "virtiofs"}
)
_LEAST = {"rotating disk": 1e-3, "SD card or eMMC": 2e-4, "NVMe": 1.5e-5, "disk": 2e-5}
"""Seconds that a flush takes at least, by the kind of device: a rotating disk at 7200 a minute turns in 8.3 ms; flash
behind an SD or eMMC controller takes its programming time; an NVMe command alone takes about 10 microseconds."""


@dataclass(frozen=True)
class Flush:
    """What is known of a folder's disk.

    Attributes:
        folder: that was asked about. filesystem, device, kind: as the kernel says; "" where it does not.
        cache: of the drive, "write back" or "write through"; "" where nobody says.
        seconds, plain: median of an append with fdatasync, and of one without.
        verdict: "bad": what is written does not survive; "doubtful"; or "plausible". why: in words, a line each.
        free: bytes.
    """

    folder: str
    filesystem: str
    device: str
    kind: str
    cache: str
    seconds: float
    plain: float
    verdict: str
    why: tuple[str, ...]
    free: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "why": list(self.why)}


def measure(folder: Path, *, rounds: int = ROUNDS, proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> Flush:
    """Append and flush a small file in `folder` some times, and judge.

    Raises:
        UserError: nothing can be written there.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            descriptor = file.fileno()
            plain = _timed(lambda: os.write(descriptor, bytes(_BYTES)), rounds)
            os.fdatasync(descriptor)

            def durable() -> None:
                os.write(descriptor, bytes(_BYTES))
                os.fdatasync(descriptor)

            seconds = _timed(durable, rounds)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror}); choose another place") from error
    filesystem, options = filesystem_of(folder, proc)
    device, kind, cache = device_of(folder, sys)
    verdict, why = judge(filesystem, options, kind, cache, seconds, plain)
    return Flush(
        str(folder), filesystem, device, kind, cache, seconds, plain, verdict, why, shutil.disk_usage(folder).free
    )


def judge(
    filesystem: str, options: str, kind: str, cache: str, seconds: float, plain: float
) -> tuple[str, tuple[str, ...]]:
    """Verdict and why; see `Flush`.

    Args:
        filesystem: its type. options: of its mount. kind, cache, seconds, plain: as in `Flush`.
    """
    if filesystem in MEMORY:
        return "bad", (f"{filesystem} is memory: all is gone at the next start; put the gallery elsewhere",)
    if "eatmydata" in os.environ.get("LD_PRELOAD", ""):
        return "bad", ("LD_PRELOAD has libeatmydata, which turns every flush into nothing; start without it",)
    if {"nobarrier", "barrier=0"} & set(options.split(",")):
        return "bad", ("mounted without barriers, so that flushes do not reach the drive; mount it with them",)
    told = f"an fdatasync takes {seconds * 1e3:.3g} ms, a write without {plain * 1e3:.3g} ms"
    if filesystem in NETWORK:
        return "doubtful", (told, f"{filesystem} is a network file system: SQLite's locks and log are not safe on it")
    least = _LEAST.get(kind, _LEAST["disk"])
    if seconds < least:
        return "bad" if kind == "rotating disk" else "doubtful", (
            told,
            f"less than the {least * 1e3:g} ms that a {kind or 'drive'} needs at least: something on the way says "
            "flushed and has not, or it has a cache that survives power cuts",
        )
    why = [told, f"as a {kind or 'drive'} that flushes would"]
    if cache == "write through":
        why.append("the drive says that it has no volatile cache (write through)")
    why.append(
        "whether the drive keeps it when its power goes, only pulling the plug tells; cheap SD cards often do not"
    )
    return "plausible", tuple(why)


def filesystem_of(folder: Path, proc: Path = Path("/proc")) -> tuple[str, str]:
    """Type and mount options of the file system that a folder is on; "" where the kernel does not say."""
    place = str(folder.resolve())
    found = ("", "", "")
    try:
        lines = (proc / "self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "", ""
    for line in lines:
        words, _, after = line.partition(" - ")
        fields, rest = words.split(), after.split()
        if len(fields) < 6 or len(rest) < 3:
            continue
        point = fields[4].replace("\\040", " ")
        inside = place == point or place.startswith(point.rstrip("/") + "/")
        # Of mounts at one point the later hides the earlier.
        if inside and len(point) >= len(found[0]):
            found = (point, rest[0], f"{fields[5]},{rest[2]}")
    return found[1], found[2]


def device_of(folder: Path, sys: Path = Path("/sys")) -> tuple[str, str, str]:
    """Name, kind and cache of the drive; "" where the kernel does not say, as of overlays and containers."""
    number = folder.stat().st_dev
    block = sys / "dev/block" / f"{os.major(number)}:{os.minor(number)}"
    if not block.exists():
        return "", "", ""
    real = block.resolve()
    disk = real.parent if (real / "partition").exists() else real
    rotating = _read(disk / "queue/rotational") == "1"
    name = disk.name
    if name.startswith("mmcblk"):
        kind = "SD card or eMMC"
    elif name.startswith("nvme"):
        kind = "NVMe"
    else:
        # Virtual disks say that they rotate whatever is behind them.
        virtual = name.startswith(("vd", "loop", "dm-", "md", "zram"))
        kind = "rotating disk" if rotating and not virtual else "disk"
    return name, kind, _read(disk / "queue/write_cache")


def _timed(call: Callable[[], object], rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return median(taken)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
