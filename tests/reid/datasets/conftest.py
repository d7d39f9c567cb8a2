"""Miniature data sets on disk: real images, each different from all others."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def write_image() -> Callable[..., Path]:
    """write_image(path, size=(width, height)): a random image there, its folders made."""
    seeds = itertools.count()

    def write(path: Path, size: tuple[int, int] = (16, 32)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(next(seeds)).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture
def write(tmp_path: Path, write_image: Callable[..., Path]) -> Callable[..., Path]:
    """write(*rows): samples.jsonl with these rows and the images that they name; returns its folder."""

    def inner(*rows: dict[str, Any], images: bool = True) -> Path:
        for row in rows:
            if images and "image" in row and not (tmp_path / row["image"]).exists():
                write_image(tmp_path / row["image"])
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (tmp_path / "samples.jsonl").write_text(text, encoding="utf-8")
        return tmp_path

    return inner
