"""What a machine says of itself in its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.device import jetson_linux, look, memory, power, temperatures


def put(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def orin(tmp_path: Path) -> Path:
    """Files as they lie on a Jetson Orin Nano with JetPack 6."""
    put(tmp_path, "proc/device-tree/model", "NVIDIA Jetson Orin Nano Developer Kit\0")
    put(tmp_path, "etc/nv_tegra_release", "# R36 (release), REVISION: 4.0, GCID: 37537400, BOARD: generic\n")
    put(tmp_path, "var/lib/nvpmodel/status", "pmode:0002\n")
    put(tmp_path, "proc/meminfo", "MemTotal:        7802960 kB\nMemFree:    9 kB\nMemAvailable:    5242880 kB\n")
    put(tmp_path, "sys/class/thermal/thermal_zone0/type", "cpu-thermal\n")
    put(tmp_path, "sys/class/thermal/thermal_zone0/temp", "48500\n")
    put(tmp_path, "sys/class/thermal/thermal_zone1/type", "gpu-thermal\n")
    put(tmp_path, "sys/class/thermal/thermal_zone1/temp", "-250\n")
    for number, (rail, volts, amperes) in enumerate([("VDD_IN", "5000", "1400"), ("VDD_SOC", "4900", "300")], start=1):
        put(tmp_path, f"sys/class/hwmon/hwmon1/in{number}_label", f"{rail}\n")
        put(tmp_path, f"sys/class/hwmon/hwmon1/in{number}_input", f"{volts}\n")
        put(tmp_path, f"sys/class/hwmon/hwmon1/curr{number}_input", f"{amperes}\n")
    put(tmp_path, "sys/class/hwmon/hwmon1/in7_label", "Sum of shunt voltages\n")
    return tmp_path


def test_a_jetson(orin: Path) -> None:
    device = look(orin)
    assert device.model == "NVIDIA Jetson Orin Nano Developer Kit"
    assert (device.l4t, device.power_mode) == ("r36.4", "0002")
    assert (device.memory_total, device.memory_free) == (7802960 << 10, 5 << 30)
    assert temperatures(orin) == {"cpu-thermal": 48.5, "gpu-thermal": -0.25}
    assert power(orin) == pytest.approx({"VDD_IN": 7.0, "VDD_SOC": 1.47})
    assert device.to_dict()["model"] == device.model


def test_a_machine_that_says_nothing(tmp_path: Path) -> None:
    device = look(tmp_path)
    assert (device.model, device.l4t, device.power_mode, device.memory_free) == (None, None, None, 0)
    assert device.cores >= 1
    assert bool(device.gpus) != bool(device.no_gpu)
    assert (temperatures(tmp_path), power(tmp_path), memory(tmp_path)) == ({}, {}, (0, 0))


def test_a_release_of_another_form_is_none(tmp_path: Path) -> None:
    put(tmp_path, "release", "something else")
    assert jetson_linux(tmp_path / "release") is None
