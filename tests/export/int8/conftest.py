"""One small student for all tests of INT8."""

from __future__ import annotations

import pytest
from int8_graphs import crops_of
from onnx import ModelProto
from small_export import small_source

from export.crops import Crops
from export.graph.image import image_graph
from export.source import Source


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """It has a stem for each modality, so its graph has two inputs."""
    return small_source(tmp_path_factory.mktemp("student") / "s", stems="modality")


@pytest.fixture(scope="session")
def fp32(source: Source) -> ModelProto:
    return image_graph(source)


@pytest.fixture(scope="session")
def calibration(source: Source) -> Crops:
    return crops_of(source, 8)


@pytest.fixture(scope="session")
def others(source: Source) -> Crops:
    """Crops of people that nothing was calibrated on."""
    return crops_of(source, 4, seed=1)
