"""Range-guided conversion of students whose activations float16 does not hold."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, helper
from small_precision import block, model_of

from export.crops import Crops
from export.precision.fp16 import range_guided
from export.precision.halve import must_keep, to_half
from export.precision.ranges import activation_ranges
from export.precision.sizes import extra_bytes, in_words, weight_bytes
from export.precision.typed import TypedEvaluator
from export.session import open_session, run_crops

Floats = NDArray[np.float32]


def cosines(found: Floats, expected: Floats) -> Floats:
    sizes = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    values: Floats = (found * expected).sum(1) / sizes
    return values


def plain(model: ModelProto, crops: Crops) -> Floats:
    return run_crops(open_session(model, threads=1), crops)


def typed(model: ModelProto, crops: Crops) -> Floats:
    return TypedEvaluator(model, threads=1).run(crops)


def lost_rows(found: Floats) -> int:
    return int((~np.isfinite(found).all(axis=1)).sum())


def test_a_sound_student_keeps_its_two_ends_only(graph: ModelProto, crops: Crops) -> None:
    half = range_guided(graph, activation_ranges(graph, crops, threads=1))
    assert set(half.kept) == must_keep(graph).keys()
    assert cosines(typed(half.model, crops), plain(graph, crops)).min() > 0.99999


@pytest.mark.parametrize("kind", ["hot", "massive"])
def test_naive_halving_of_an_outlier_student_is_caught_and_ours_is_finite(
    kind: str, crops: Crops, request: pytest.FixtureRequest
) -> None:
    graph: ModelProto = request.getfixturevalue(kind)
    expected = plain(graph, crops)
    ranges = activation_ranges(graph, crops, threads=1)
    assert max(ranges.values()) > 65504
    naive = to_half(graph)
    seen, hidden = lost_rows(typed(naive, crops)), lost_rows(plain(naive, crops))
    assert seen == len(crops)
    assert hidden < seen, "ONNX Runtime would have shown it"
    half = range_guided(graph, ranges)
    onnx.checker.check_model(half.model, full_check=True)
    found = typed(half.model, crops)
    assert lost_rows(found) == 0
    assert cosines(found, expected).mean() > 0.95


def test_a_lower_limit_keeps_no_less_and_comes_to_float32(hot: ModelProto, crops: Crops) -> None:
    ranges = activation_ranges(hot, crops, threads=1)
    ladder = [range_guided(hot, ranges, limit) for limit in (1024.0, 128.0, 16.0, 1.0)]
    for wide, narrow in pairwise(ladder):
        assert set(wide.kept) <= set(narrow.kept)
        assert wide.bytes <= narrow.bytes
    assert cosines(typed(ladder[-1].model, crops), plain(hot, crops)).min() > 0.999


def test_a_tensor_beyond_the_limit_is_never_of_16_bits(massive: ModelProto, crops: Crops) -> None:
    ranges = activation_ranges(massive, crops, threads=1)
    half = range_guided(massive, ranges, 200)
    halves = {v.name for v in half.model.graph.value_info if v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT16}
    assert not [name for name in halves if ranges.get(name.removesuffix(".fp16"), 0.0) > 200]
    assert any(ranges.get(name, 0.0) > 0 for name in halves)


def test_reasons_name_the_tensor_and_its_size(massive: ModelProto, crops: Crops) -> None:
    half = range_guided(massive, activation_ranges(massive, crops, threads=1))
    assert [reason.node for reason in half.reasons] == list(half.kept)
    words = [str(reason) for reason in half.reasons]
    assert any("makes" in line and "the limit is 512" in line for line in words)


def test_bytes_are_those_of_the_weights_and_their_cost(massive: ModelProto, crops: Crops) -> None:
    half = range_guided(massive, activation_ranges(massive, crops, threads=1))
    assert half.bytes == weight_bytes(half.model)
    everything = {node.name for node in massive.graph.node}
    whole, cost = weight_bytes(massive), sum(extra_bytes(massive, everything).values())
    assert half.extra == sum(extra_bytes(massive, half.kept).values())
    assert 0 < half.extra < cost
    assert half.bytes == pytest.approx(whole - cost + half.extra, abs=4096)


def test_kernels_that_sum_squares_or_many_values_are_kept_before_they_overflow() -> None:
    node = helper.make_node
    model = model_of(
        [
            node("Conv", ["pixels", "k"], ["map"], kernel_shape=[1, 1]),
            node("GlobalAveragePool", ["map"], ["mean"]),
            node("InstanceNormalization", ["map", "one", "one"], ["normal"]),
            node("Add", ["mean", "normal"], ["sum"]),
            node("Conv", ["sum", "k"], ["map2"], kernel_shape=[1, 1]),
            node("Conv", ["map2", "k"], ["coordinates"], kernel_shape=[1, 1]),
        ],
        {"k": np.ones((1, 1, 1, 1), np.float32), "one": np.ones(1, np.float32)},
        reads=("batch", 1, 32, 32),
    )
    kept = {
        size: {reason.node: reason.why for reason in range_guided(model, {"map": size}).reasons}
        for size in (30.0, 80.0, 300.0)
    }
    assert "GlobalAveragePool1" not in kept[30.0]
    assert kept[80.0]["GlobalAveragePool1"] == "sums 1024 values up to 80"
    assert "InstanceNormalization2" not in kept[80.0]
    assert kept[300.0]["InstanceNormalization2"] == "squares values up to 300"
    assert "Conv0" not in kept[300.0]


@pytest.mark.parametrize(("size", "kept"), [(600.0, True), (float("inf"), True), (float("nan"), True), (1e-6, True),
                                            (0.0, False), (500.0, False)])  # fmt: skip
def test_ranges_that_float16_does_not_hold_keep_both_sides(size: float, kept: bool) -> None:
    names = range_guided(block(), {"hidden": size}).kept
    assert ("MatMul8" in names) is kept
    assert ("Add9" in names) is kept
    assert "MatMul11" not in names


def test_light_nodes_between_kept_ones_are_kept() -> None:
    half = range_guided(block(), {"hidden": 600.0, "update": 600.0, "active": 600.0})
    assert {"MatMul8", "Add9", "Erf10", "MatMul11"} <= set(half.kept)


def test_bytes_are_readable() -> None:
    assert [in_words(count) for count in (7, 1500, 21_640_000, 3_000_000_000)] == ["7 B", "1.5 kB", "21.6 MB", "3.0 GB"]
