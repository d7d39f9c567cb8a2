"""The small students stand in the zoo while these tests run."""

from __future__ import annotations

import pytest
import torch
from small_students import SMALL

from student.zoo import ZOO

# Of models this small a second thread makes nothing faster.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _small_students(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, entry in SMALL.items():
        monkeypatch.setitem(ZOO, name, entry)
