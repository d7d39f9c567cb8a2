"""Which layers INT8 hurts, and which are left out of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from int8_graphs import cosines, crops_of, fc2, image_graph, outlier_source
from onnx import ModelProto

from export.crops import Crops
from export.int8.layers import chosen_layers
from export.int8.parts import crossing, stretch
from export.int8.quantise import quantise
from export.int8.search import fewest, int8_graph
from export.int8.sensitivity import sensitivity
from export.session import feeds, open_session, run_crops
from export.source import Source


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return outlier_source(tmp_path_factory.mktemp("student") / "s")


@pytest.fixture(scope="module")
def fp32(source: Source) -> ModelProto:
    return image_graph(source)


@pytest.fixture(scope="module")
def calibration(source: Source) -> Crops:
    return crops_of(source, 6)


@pytest.fixture(scope="module")
def check(source: Source) -> Crops:
    return crops_of(source, 2, seed=1)


@pytest.fixture(scope="module")
def reference(fp32: ModelProto, check: Crops) -> np.ndarray:
    return run_crops(open_session(fp32, threads=1), check)


def test_a_loss_is_that_of_the_graph_in_which_this_layer_alone_is_int8(
    fp32: ModelProto, calibration: Crops, check: Crops, reference: np.ndarray
) -> None:
    losses = sensitivity(fp32, check, calibration, threads=1)
    every = {layer.node for layer in chosen_layers(fp32)}
    assert {loss.node for loss in losses} == every
    assert [loss.mean for loss in losses] == sorted((loss.mean for loss in losses), reverse=True)
    for loss in (losses[0], losses[1], losses[-1]):
        alone = quantise(fp32, calibration, keep=every - {loss.node})
        found = cosines(reference, run_crops(open_session(alone, threads=1), check))
        assert loss.mean == pytest.approx(1 - found.mean(), rel=0.05, abs=1e-6)
        assert loss.worst == pytest.approx(1 - found.min(), rel=0.05, abs=1e-6)


def test_the_search_leaves_out_the_layer_with_the_outlier_and_no_other(
    fp32: ModelProto, calibration: Crops, check: Crops, reference: np.ndarray
) -> None:
    def passes(model: ModelProto) -> bool:
        return bool(cosines(reference, run_crops(open_session(model, threads=1), check)).mean() >= 0.998)

    assert not passes(quantise(fp32, calibration))
    found = int8_graph(fp32, calibration, check, passes=passes, threads=1)
    assert found.passed
    assert [loss.node for loss in found.kept] == [fc2(fp32, 2)]
    assert found.losses[0].mean > 10 * found.losses[1].mean
    assert passes(found.model)
    grown = found.model.ByteSize() - quantise(fp32, calibration).ByteSize()
    assert found.extra_bytes == pytest.approx(grown, rel=0.02)
    assert str(found) == (
        f"36 of 37 layers are int8, the worst 1 stay in fp32 ({found.extra_bytes / 1e6:.2f} MB more): {fc2(fp32, 2)}"
    )
    assert found.to_dict()["kept"] == [fc2(fp32, 2)]


def test_if_nothing_helps_it_says_so_and_gives_the_graph_without_int8(
    fp32: ModelProto, calibration: Crops, check: Crops
) -> None:
    found = int8_graph(fp32, calibration, check, passes=lambda model: False, threads=1)
    assert not found.passed
    assert len(found.kept) == len(found.losses) == 37
    assert found.model.graph == fp32.graph
    assert "not even with all 37 layers in fp32" in str(found)


def test_a_graph_in_which_nothing_is_int8_is_not_called_int8(
    fp32: ModelProto, calibration: Crops, check: Crops
) -> None:
    def passes(model: ModelProto) -> bool:
        return not any(node.op_type == "QuantizeLinear" for node in model.graph.node)

    found = int8_graph(fp32, calibration, check, passes=passes, threads=1)
    assert found.passed
    assert str(found).endswith("nothing of it is int8")


@given(total=st.integers(0, 60), least=st.integers(0, 70))
def test_the_least_good_count_is_found_with_few_questions(total: int, least: int) -> None:
    asked: list[int] = []

    def good(count: int) -> bool:
        asked.append(count)
        return count >= least

    assert fewest(total, good) == (least if least <= total else None)
    assert len(set(asked)) == len(asked) <= 2 * max(1, total).bit_length() + 1


@given(data=st.data())
def test_two_stretches_of_a_graph_give_what_the_whole_gives(
    data: st.DataObject, fp32: ModelProto, check: Crops, reference: np.ndarray
) -> None:
    total = len(fp32.graph.node)
    place = data.draw(st.integers(1, total - 1))
    inputs = feeds(check, ["pixels"])
    first = stretch(fp32, 0, place, inputs)
    names = [value.name for value in first.graph.output]
    values = {**inputs, **dict(zip(names, open_session(first, threads=1).run(names, inputs), strict=True))}
    assert set(crossing(fp32, place)) <= set(values)
    second = stretch(fp32, place, total, values)
    taken = {value.name: values[value.name] for value in second.graph.input}
    found = open_session(second, threads=1).run(None, taken)[0]
    np.testing.assert_allclose(found, reference, atol=1e-3 * np.abs(reference).max())
