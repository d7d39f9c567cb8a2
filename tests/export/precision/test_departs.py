"""The first tensor that departs."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, helper
from small_precision import model_of

from export.crops import Crops
from export.precision.departs import first_departure, tensor_gaps
from export.precision.halve import to_half
from export.precision.typed import TypedEvaluator
from export.session import open_session
from reid.modality import Modality

node = helper.make_node


def chain(gain: float, constant: float = 0.0) -> ModelProto:
    """Means of the channels, times 1, times a gain plus a constant less it, squared, and a head."""
    return model_of(
        [
            node("Conv", ["pixels", "k"], ["map"], kernel_shape=[1, 1]),
            node("GlobalAveragePool", ["map"], ["mean"]),
            node("Mul", ["mean", "gain"], ["larger"]),
            node("Add", ["larger", "constant"], ["moved"]),
            node("Sub", ["moved", "constant"], ["back"]),
            node("Mul", ["back", "back"], ["square"]),
            node("Conv", ["square", "k"], ["head"], kernel_shape=[1, 1]),
            node("Conv", ["head", "k"], ["out"], kernel_shape=[1, 1]),
            node("Flatten", ["out"], ["coordinates"]),
        ],
        {
            "k": (np.eye(3)[:, :, None, None] / 255).astype(np.float32), "gain": np.array(gain, np.float32),
            "constant": np.array(constant, np.float32),
        },
        reads=("batch", 3, 128, 64),
    )  # fmt: skip


def test_the_same_graph_does_not_depart(graph: ModelProto, crops: Crops) -> None:
    assert first_departure(graph, graph, crops, threads=1) is None


def test_a_sound_student_does_not_depart(graph: ModelProto, crops: Crops) -> None:
    assert first_departure(to_half(graph), graph, crops, threads=1) is None


def test_the_first_overflow_is_named_though_what_follows_overflows_too(crops: Crops) -> None:
    found = first_departure(to_half(chain(1000)), chain(1000), crops, threads=1)
    assert found is not None
    assert (found.tensor, found.node, found.op, found.finite) == ("square", "Mul5", "Mul", False)
    assert found.size > 65504
    assert "infinite or not a number" in str(found)


def test_a_loss_of_digits_is_named_where_it_arises(crops: Crops) -> None:
    found = first_departure(to_half(chain(1, 4096)), chain(1, 4096), crops, threads=1)
    assert found is not None
    assert (found.tensor, found.finite) == ("back", True)
    assert found.error > 0.05 > found.before
    assert "off by" in str(found)


def test_an_overflow_comes_before_an_earlier_loss_of_digits(crops: Crops) -> None:
    found = first_departure(to_half(chain(1000, 60000)), chain(1000, 60000), crops, bound=1e-9, threads=1)
    assert found is not None
    assert not found.finite


def test_the_crop_and_its_modality_are_named(crops: Crops) -> None:
    """Of one black and one white crop only the white one overflows."""
    pixels = crops.pixels.copy()
    pixels[:] = 0
    row = crops.modalities.index(Modality.SKETCH)
    pixels[row] = 255
    found = first_departure(
        to_half(chain(1000)), chain(1000), Crops(pixels, crops.samples, "made up"), threads=1
    )  # fmt: skip
    assert found is not None
    assert (found.crop, found.modality) == (row, Modality.SKETCH)


@pytest.mark.parametrize("kind", ["hot", "massive"])
def test_an_outlier_student_departs_where_the_range_says(
    kind: str, crops: Crops, request: pytest.FixtureRequest
) -> None:
    graph: ModelProto = request.getfixturevalue(kind)
    found = first_departure(to_half(graph), graph, crops.take([0, 3]), threads=1)
    assert found is not None
    assert not found.finite
    assert found.size > 65504


def test_gaps_are_those_of_the_tensors_themselves(graph: ModelProto, crops: Crops) -> None:
    one = crops.take([1])
    model = to_half(graph)
    (gaps,) = tensor_gaps(model, graph, one, threads=1)
    found, exact = TypedEvaluator(model, threads=1).tensors(one), TypedEvaluator(graph, threads=1).tensors(one)
    assert gaps.keys() == exact.keys()
    for name, gap in gaps.items():
        norm = np.linalg.norm(exact[name].astype(np.float64))
        expected = np.linalg.norm(found[name].astype(np.float64) - exact[name]) / norm
        assert gap.error == pytest.approx(expected, rel=1e-3, abs=1e-6), name
        assert gap.size == pytest.approx(np.abs(exact[name]).max())


def test_a_tensor_that_is_infinite_in_float32_too_is_not_counted(crops: Crops) -> None:
    model = model_of(
        [
            node("Conv", ["pixels", "k"], ["map"], kernel_shape=[1, 1]),
            node("Log", ["map"], ["log"]),
            node("Exp", ["log"], ["exp"]),
            node("Conv", ["exp", "k"], ["a"], kernel_shape=[1, 1]),
            node("Conv", ["a", "k"], ["coordinates"], kernel_shape=[1, 1]),
        ],
        {"k": (np.eye(3)[:, :, None, None] / 255).astype(np.float32)},
        reads=("batch", 3, 128, 64),
    )
    black = Crops(np.zeros_like(crops.pixels), crops.samples, "black")
    assert np.isneginf(
        open_session(model, threads=1).get_outputs() and TypedEvaluator(model).tensors(black)["log"]
    ).all()
    assert first_departure(to_half(model), model, black, threads=1) is None
