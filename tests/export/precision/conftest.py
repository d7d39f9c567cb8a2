"""One small student's graph, and the same with weights whose activations float16 does not hold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper
from small_export import small_source

from export.crops import Crops, synthetic_crops
from export.graph.image import image_graph
from export.source import Source

Change = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@pytest.fixture(scope="package")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return small_source(tmp_path_factory.mktemp("precision") / "student")


@pytest.fixture(scope="package")
def graph(source: Source) -> ModelProto:
    return image_graph(source)


@pytest.fixture(scope="package")
def crops(source: Source) -> Crops:
    return synthetic_crops(source.preprocessing, 2)


@pytest.fixture(scope="package")
def hot(graph: ModelProto) -> ModelProto:
    """Gains of the LayerNorms of every second block are 200 times as large: queries times keys are beyond 65504."""
    return with_gains(graph, 200)


@pytest.fixture(scope="package")
def massive(graph: ModelProto) -> ModelProto:
    """Gains times 50, and two outputs of the MLPs behind them times 1000: the residual is beyond 65504."""
    return with_large_rows(with_gains(graph, 50), 1000)


def with_gains(graph: ModelProto, times: float) -> ModelProto:
    norms = [node for node in graph.graph.node if node.op_type == "LayerNormalization"]
    chosen = [norm.input[1] for place, norm in enumerate(norms[:-1]) if place // 2 % 2 == 1]
    return _changed(graph, set(chosen), lambda gain: gain * np.float32(times))


def with_large_rows(graph: ModelProto, times: float) -> ModelProto:
    """The second matrix of an MLP is the one that makes a quarter of what it reads."""
    seconds = [t.name for t in graph.graph.initializer if len(t.dims) == 2 and t.dims[0] == 4 * t.dims[1]]

    def enlarge(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        larger = matrix.copy()
        larger[:, :2] *= times
        return larger

    assert len(seconds) >= 4
    return _changed(graph, set(seconds[1::2]), enlarge)


def _changed(graph: ModelProto, names: set[str], change: Change) -> ModelProto:
    changed = ModelProto()
    changed.CopyFrom(graph)
    for tensor in changed.graph.initializer:
        if tensor.name in names:
            tensor.CopyFrom(numpy_helper.from_array(change(onnx.numpy_helper.to_array(tensor)), tensor.name))
    return changed
