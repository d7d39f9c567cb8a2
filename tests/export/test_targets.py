from __future__ import annotations

import pytest

from export.targets import TARGETS, Target, find_target, roofline
from reid.errors import UserError

GFLOPS, WEIGHTS = 5.86, 43_300_000
"""Of vit-s at 256 x 128 in fp16: 24 N d^2 12 + 4 N^2 d 12 + the patches, with N = 129 and d = 384; 21.64 M weights."""


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_is_found_by_its_name(name: str) -> None:
    assert find_target(name).name == name


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("orin", "orin-nx"), ("rtx-amper", "rtx-ampere"), ("AGX-Orin", "agx-orin"), ("jetson-thor", "thor")],
)
def test_a_target_that_does_not_exist_is_refused_and_the_nearest_named(wrong: str, meant: str) -> None:
    with pytest.raises(UserError, match=f"no target '{wrong}'; did you mean .*{meant}"):
        find_target(wrong)


def test_a_name_that_is_near_nothing_gets_all_of_them() -> None:
    with pytest.raises(UserError, match=r"choose one of host, .*, xavier"):
        find_target("zzzz")


def test_jetsons_know_their_software_and_what_can_be_built_in_their_stead() -> None:
    for target in (target for target in TARGETS.values() if target.kind == "jetson"):
        assert target.jetpacks
        assert target.min_trt == target.jetpacks[0].tensorrt
        assert target.proof is not None
        assert target.proof not in target.sms
        assert target.peak_tflops is not None
    assert all(not target.jetpacks for target in TARGETS.values() if target.kind != "jetson")


# Worked out by hand: 5.86 / 10.2 = 0.57 ms of arithmetic, 43.3 / 68 = 0.64 ms of reading, and so on.
@pytest.mark.parametrize(
    ("name", "compute", "weights"),
    [("orin-nano", 0.57, 0.64), ("orin-nano-super", 0.35, 0.42), ("orin-nx", 0.39, 0.42), ("agx-orin", 0.14, 0.21)],
)
def test_the_roofline_is_the_arithmetic(name: str, compute: float, weights: float) -> None:
    found = roofline(find_target(name), GFLOPS, WEIGHTS)
    assert found is not None
    assert round(found.compute, 2) == compute
    assert round(found.weights, 2) == weights
    assert found.floor == max(found.compute, found.weights)


def test_more_crops_cost_arithmetic_and_no_more_reading() -> None:
    target = find_target("orin-nano")
    one, many = roofline(target, GFLOPS, WEIGHTS), roofline(target, GFLOPS, WEIGHTS, 16)
    assert one is not None
    assert many is not None
    assert many.compute == pytest.approx(16 * one.compute)
    assert many.weights == one.weights
    assert round(many.floor, 1) == 9.2


def test_a_family_of_chips_has_no_roofline() -> None:
    assert roofline(find_target("rtx-ada"), GFLOPS, WEIGHTS) is None
    assert roofline(Target("x", "rtx", "x", peak_tflops=1.0), GFLOPS, WEIGHTS) is None
