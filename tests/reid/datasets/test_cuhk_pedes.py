"""CUHK-PEDES: its published figures. What it shares with the others is tested in test_captioned.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from reid.datasets import load_dataset
from reid.errors import UserError


@pytest.fixture
def root(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    entries = []
    for person, split in ((1, "train"), (11004, "val"), (12004, "test"), (12005, "test")):
        for view in ("cam_a", "train_query"):
            path = f"{view}/p{person}.png"
            write_image(tmp_path / "CUHK-PEDES" / "imgs" / path)
            entries.append({"split": split, "captions": ["one", "two"], "file_path": path, "id": person})
    (tmp_path / "CUHK-PEDES" / "reid_raw.json").write_text(json.dumps(entries))
    return tmp_path


def test_published_figures(root: Path) -> None:
    counts = {c.what: (c.found, c.published) for c in load_dataset("cuhk-pedes", root).counts}
    assert counts == {
        "train images": (2, 34_054),
        "train people": (1, 11_003),
        "train captions": (4, 68_126),
        "val images": (2, 3_078),
        "val people": (1, 1_000),
        "val captions": (4, 6_158),
        "test images": (4, 3_074),
        "test people": (2, 1_000),
        "test captions": (8, 6_156),
    }


def test_it_has_a_validation_split_and_holds_nobody_out(root: Path) -> None:
    with pytest.raises(UserError, match="data set 'cuhk-pedes' has no option 'val_people'"):
        load_dataset("cuhk-pedes", root, {"val_people": "1"})
