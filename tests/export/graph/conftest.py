"""One small student of each family, exported once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from exported import Export, Exported
from small_export import small_source
from torch import Tensor

from export.graph.image import image_graph
from export.source import Source
from student.zoo import ZOO

# The small students belong to the student's tests.
sys.path.append(str(Path(__file__).parents[2] / "student"))
from small_students import PERSON, SMALL


@pytest.fixture(scope="session", autouse=True)
def _small_students() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, entry in SMALL.items():
            patch.setitem(ZOO, name, entry)
        yield


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """A small student by name, with options of `build_student`, and its graph. Do not change it: others read it."""

    @cache
    def made(name: str, **options: Any) -> Exported:
        height, width = PERSON[name]
        source = small_source(tmp_path_factory.mktemp("student") / "made", name, height, width, **options)
        return source, image_graph(source)

    return made


@pytest.fixture(scope="session")
def in_torch() -> Callable[[Source, Tensor, Tensor], Any]:
    """float32 [n, k] of pixels 0 to 255 by the student itself."""

    @torch.no_grad()
    def run(source: Source, pixels: Tensor, modality: Tensor) -> Any:
        scale, shift = (torch.from_numpy(v)[None, :, None, None] for v in source.preprocessing.scale_and_shift())
        return source.student(pixels * scale + shift, modality).numpy()

    return run
