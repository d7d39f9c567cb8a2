"""What the tests of graphs share: an exported student, what it is given, and how near is equal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx

from export.graph.shapes import tensor_shapes
from export.source import Source

Exported = tuple[Source, onnx.ModelProto]
Export = Callable[..., Exported]


def inputs(graph: onnx.ModelProto, count: int, seed: int = 0) -> dict[str, Any]:
    """Noise from 0 to 255, and every modality in turn."""
    height, width = tensor_shapes(graph)["pixels"][2:]
    pixels = np.random.default_rng(seed).uniform(0, 255, (count, 3, int(height), int(width))).astype(np.float32)
    every = {"pixels": pixels, "modality": np.arange(count) % 3}
    return {value.name: every[value.name] for value in graph.graph.input}


def assert_equal(found: Any, expected: Any, bound: float = 1e-5) -> None:
    """Within `bound` of the largest."""
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= bound * np.abs(expected).max()
