"""When a stage begins, and what a learning rate is multiplied by, against numbers worked out by hand."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teacher.training.groups import factor, stage_starts

SCHEDULERS = ("cosine", "linear", "constant")


@pytest.mark.parametrize(
    ("epochs", "steps", "expected"),
    [
        ([10], 1000, [0]),
        ([2, 1, 1], 100, [0, 50, 75]),
        ([1, 2], 100, [0, 33]),  # 33.3
        ([2, 1], 100, [0, 67]),  # 66.7
        ([3, 5, 2], 10, [0, 3, 8]),
        ([1, 1], 1, [0, 0]),
    ],
)
def test_stages_begin_in_proportion_to_their_epochs(epochs: list[int], steps: int, expected: list[int]) -> None:
    assert stage_starts(epochs, steps) == expected


@settings(max_examples=50, deadline=None)
@given(epochs=st.lists(st.integers(1, 30), min_size=1, max_size=6), steps=st.integers(1, 100_000))
def test_stages_begin_within_half_a_step_of_their_share(epochs: list[int], steps: int) -> None:
    starts = stage_starts(iter(epochs), steps)
    assert len(starts) == len(epochs)
    for stage, start in enumerate(starts):
        assert abs(start - steps * sum(epochs[:stage]) / sum(epochs)) <= 0.5 + 1e-6


def test_warm_up_rises_in_equal_steps_to_1() -> None:
    rising = [factor(step, start=0, steps=100, warmup=4, scheduler="constant") for step in range(7)]
    assert rising == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1])


def test_a_late_stage_waits_and_then_warms_up_from_its_own_start() -> None:
    late = [factor(step, start=50, steps=100, warmup=5, scheduler="constant") for step in range(48, 57)]
    assert late == pytest.approx([0, 0, 0.2, 0.4, 0.6, 0.8, 1, 1, 1])


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        # (1 + cos 0) / 2, (1 + cos 45 degrees) / 2, ...
        ("cosine", [1, (2 + math.sqrt(2)) / 4, 0.5, (2 - math.sqrt(2)) / 4, 0]),
        ("linear", [1, 0.75, 0.5, 0.25, 0]),
        ("constant", [1, 1, 1, 1, 1]),
    ],
)
def test_the_rate_falls_to_0_at_the_end_of_the_training(scheduler: str, expected: list[float]) -> None:
    found = [factor(step, start=0, steps=80, warmup=0, scheduler=scheduler) for step in (0, 20, 40, 60, 80)]
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(("scheduler", "falling"), [("cosine", 0.5), ("linear", 0.5), ("constant", 1.0)])
def test_warm_up_and_fall_are_multiplied(scheduler: str, falling: float) -> None:
    """Of a stage that begins in the middle: 3 of 10 steps risen, and half of the training done."""
    assert factor(40, start=38, steps=80, warmup=10, scheduler=scheduler) == pytest.approx(0.3 * falling)


@settings(max_examples=60, deadline=None)
@given(
    steps=st.integers(1, 300),
    start=st.integers(0, 300),
    warmup=st.integers(0, 100),
    scheduler=st.sampled_from(SCHEDULERS),
)
def test_a_factor_is_a_share_that_rises_without_a_jump_and_then_only_falls(
    steps: int, start: int, warmup: int, scheduler: str
) -> None:
    values = [factor(step, start=start, steps=steps, warmup=warmup, scheduler=scheduler) for step in range(steps + 1)]
    assert all(0 <= value <= 1 for value in values)
    assert not any(values[:start])
    for step, (before, after) in enumerate(pairwise(values), 1):
        assert after - before <= 1 / max(1, warmup) + 1e-9
        if step >= start + max(1, warmup):
            assert after <= before + 1e-12
    if scheduler != "constant":
        assert values[steps] == pytest.approx(0, abs=1e-12)
    # During the warm-up alone nothing falls.
    rising = [factor(step, start=start, steps=steps, warmup=warmup, scheduler="constant") for step in range(steps + 1)]
    assert rising == sorted(rising)


@settings(max_examples=30, deadline=None)
@given(start=st.integers(0, 50), warmup=st.integers(1, 20), scheduler=st.sampled_from(SCHEDULERS))
def test_a_stage_trains_from_its_first_step_on(start: int, warmup: int, scheduler: str) -> None:
    values = [factor(step, start=start, steps=100, warmup=warmup, scheduler=scheduler) for step in range(100)]
    assert [value > 0 for value in values] == [step >= start for step in range(100)]
