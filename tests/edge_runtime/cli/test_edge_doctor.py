"""`edge doctor` and what it stands on: what the disk's times mean, and a Jetson's sensors, imitated by files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.disk import device_of, filesystem_of, judge, measure
from edge_runtime.tegra import Meter


def test_the_doctor_names_engines_disk_and_gallery(edge: Any, gallery: Path) -> None:
    done = edge("doctor", "--gallery", gallery, "--json")
    told = json.loads(done.out)
    found = {finding["about"]: finding for finding in told["findings"]}
    assert done.code == (0 if told["ok"] else 1)
    assert "CPUExecutionProvider" in found["engine onnxruntime"]["words"]
    assert found[f"gallery {gallery}"]["words"] == "verified, 12 rows"
    assert {"numpy", "disk", "free space", "python", "engine tensorrt"} <= set(found)
    lines = edge("doctor", "--gallery", gallery).out.splitlines()
    assert len(lines) == len(told["findings"])
    assert all(line.startswith(("ok   ", "note ", "BAD  ")) for line in lines)


def test_too_little_room_is_bad(edge: Any, tmp_path: Path) -> None:
    done = edge("doctor", "--folder", tmp_path, "--min-free", 10**9)
    assert done.code == 1
    assert "BAD  free space: " in done.out


def test_a_missing_library_is_a_note_that_says_what_is_lost(edge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import edge_runtime.cli.doctor as doctor

    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "faiss-cpu" else "1.0")
    out = edge("doctor", "--min-free", 0).out
    assert "note faiss-cpu: not installed: searches take NumPy" in out
    assert "pip install 'reid-distill[edge]'" in out


@pytest.mark.parametrize(
    ("filesystem", "options", "kind", "seconds", "verdict", "words"),
    [
        ("tmpfs", "rw", "", 1e-6, "bad", "is memory"),
        ("ext4", "rw,barrier=0", "NVMe", 1e-3, "bad", "without barriers"),
        ("xfs", "rw,nobarrier", "disk", 1e-3, "bad", "without barriers"),
        ("nfs4", "rw", "", 1e-3, "doubtful", "network file system"),
        ("ext4", "rw", "rotating disk", 2e-4, "bad", "less than the 1 ms that a rotating disk needs"),
        ("ext4", "rw", "rotating disk", 9e-3, "plausible", "as a rotating disk that flushes would"),
        ("ext4", "rw", "SD card or eMMC", 5e-5, "doubtful", "less than the 0.2 ms"),
        ("ext4", "rw", "SD card or eMMC", 8e-3, "plausible", "only pulling the plug tells"),
        ("ext4", "rw", "NVMe", 5e-6, "doubtful", "has a cache that survives power cuts"),
        ("overlay", "rw", "", 1e-3, "plausible", "as a drive that flushes would"),
    ],
)
def test_times_that_no_drive_reaches_are_not_believed(
    filesystem: str, options: str, kind: str, seconds: float, verdict: str, words: str
) -> None:
    found, why = judge(filesystem, options, kind, "", seconds, 1e-6)
    assert found == verdict
    assert words in "; ".join(why)


def test_a_library_that_eats_flushes_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", "/usr/lib/libeatmydata.so")
    assert judge("ext4", "rw", "NVMe", "", 1e-6, 1e-6)[0] == "bad"


MOUNTS = """\
22 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw,errors=remount-ro
30 22 0:25 / {place} rw,nosuid shared:9 - tmpfs tmpfs rw,size=100k
31 22 8:17 / {place}/with\\040blank rw,noatime - ext4 /dev/sdb1 rw,barrier=0
32 22 8:33 / {place}x rw - xfs /dev/sdc1 rw
broken line
"""


def test_the_innermost_mount_counts(tmp_path: Path) -> None:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    place = tmp_path / "data"
    (place / "with blank").mkdir(parents=True)
    (place / "sub").mkdir()
    (tmp_path / "datax").mkdir()
    (tmp_path / "proc" / "self" / "mountinfo").write_text(MOUNTS.format(place=place))
    proc = tmp_path / "proc"
    assert filesystem_of(place / "sub", proc) == ("tmpfs", "rw,nosuid,rw,size=100k")
    assert filesystem_of(place / "with blank", proc) == ("ext4", "rw,noatime,rw,barrier=0")
    assert filesystem_of(tmp_path / "datax", proc)[0] == "xfs"
    assert filesystem_of(tmp_path, proc)[0] == "ext4"
    assert filesystem_of(tmp_path, tmp_path / "none") == ("", "")


@pytest.mark.parametrize(
    ("name", "rotational", "kind"),
    [
        ("mmcblk0", "0", "SD card or eMMC"),
        ("nvme0n1", "0", "NVMe"),
        ("sda", "1", "rotating disk"),
        ("sda", "0", "disk"),
        ("vda", "1", "disk"),
    ],
)
def test_the_kind_of_a_drive_is_read_from_its_partition(tmp_path: Path, name: str, rotational: str, kind: str) -> None:
    disk = tmp_path / "devices" / name
    part = disk / f"{name}p1"
    (disk / "queue").mkdir(parents=True)
    part.mkdir()
    (part / "partition").write_text("1\n")
    (disk / "queue" / "rotational").write_text(f"{rotational}\n")
    (disk / "queue" / "write_cache").write_text("write through\n")
    number = tmp_path.stat().st_dev
    (tmp_path / "dev" / "block").mkdir(parents=True)
    (tmp_path / "dev" / "block" / f"{os.major(number)}:{os.minor(number)}").symlink_to(part)
    assert device_of(tmp_path, tmp_path) == (name, kind, "write through")
    assert device_of(tmp_path, tmp_path / "none") == ("", "", "")


def test_measuring_leaves_nothing_behind(tmp_path: Path) -> None:
    flush = measure(tmp_path, rounds=2)
    assert flush.seconds > 0
    assert flush.free > 0
    assert list(tmp_path.iterdir()) == []
    assert json.dumps(flush.to_dict())


@pytest.fixture
def jetson(tmp_path: Path) -> Path:
    """The files of an Orin that matter here."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "nv_tegra_release").write_text("# R36 (release), REVISION: 4.0, GCID: 1, BOARD: generic\n")
    zone = tmp_path / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("gpu-thermal\n")
    (zone / "temp").write_text("48500\n")
    rail = tmp_path / "sys/class/hwmon/hwmon3"
    rail.mkdir(parents=True)
    for name, value in {"in1_label": "VDD_IN", "in1_input": "5000", "curr1_input": "1400"}.items():
        (rail / name).write_text(f"{value}\n")
    return tmp_path


def test_power_and_temperature_are_read_while_something_runs(jetson: Path) -> None:
    with Meter(jetson, every=3600) as meter:
        (jetson / "sys/class/hwmon/hwmon3/curr1_input").write_text("2600\n")
        (jetson / "sys/class/thermal/thermal_zone0/temp").write_text("61000\n")
    assert meter.readings.to_dict() == {
        "watts": {"VDD_IN": {"mean": 10.0, "most": 13.0}},
        "celsius": {"gpu-thermal": {"mean": 54.75, "most": 61.0}},
        "why_not": "",
    }
    assert meter.readings.lines() == ["VDD_IN: 10.00 W, at most 13.00", "gpu-thermal: at most 61.0 °C"]


def test_what_is_no_jetson_or_has_no_sensors_says_so(tmp_path: Path, jetson: Path) -> None:
    with Meter(tmp_path / "none") as meter:
        pass
    assert meter.readings.lines() == ["not a Jetson: no power or temperature is read"]
    bare = tmp_path / "bare"
    (bare / "etc").mkdir(parents=True)
    (bare / "etc" / "nv_tegra_release").write_text((jetson / "etc" / "nv_tegra_release").read_text())
    with Meter(bare) as meter:
        pass
    assert meter.readings.lines() == ["a Jetson, but its sensors cannot be read"]
