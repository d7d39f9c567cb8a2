"""Ranges of activations, against the tensors themselves."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, helper
from small_precision import model_of

from export.crops import Crops
from export.precision.ranges import activation_ranges, ranges_by_modality, ranges_of_feeds
from export.precision.typed import TypedEvaluator
from reid.modality import Modality


def test_every_range_is_the_greatest_magnitude_over_all_crops(graph: ModelProto, crops: Crops) -> None:
    found = activation_ranges(graph, crops, batch=4, threads=1)
    tensors = TypedEvaluator(graph, threads=1).tensors(crops)
    assert found.keys() == tensors.keys() | {"pixels"}
    for name, values in tensors.items():
        np.testing.assert_allclose(found[name], np.abs(values).max(), rtol=1e-4, err_msg=name)
    assert found["pixels"] == crops.pixels.max()


def test_each_modality_has_its_own_ranges(graph: ModelProto, crops: Crops) -> None:
    found = ranges_by_modality(graph, crops, threads=1)
    assert set(found) == {Modality.RGB, Modality.IR, Modality.SKETCH}
    for modality, ranges in found.items():
        rows = [row for row, of in enumerate(crops.modalities) if of == modality]
        assert ranges == activation_ranges(graph, crops.take(rows), threads=1)
    assert len({ranges["coordinates"] for ranges in found.values()}) == 3


def test_what_is_not_finite_has_an_infinite_range() -> None:
    model = model_of([helper.make_node("Log", ["pixels"], ["coordinates"])])
    negative, zero = np.full((1, 4), -1, np.float32), np.array([[0, 1, 1, 1]], np.float32)
    for values in (negative, zero):
        found = ranges_of_feeds(model, [{"pixels": np.ones((1, 4), np.float32)}, {"pixels": values}], threads=1)
        assert found == {"pixels": 1.0, "coordinates": np.inf}
