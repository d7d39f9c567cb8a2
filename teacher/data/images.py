"""Person crops in the input size, decoded once and kept while there is room."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_runtime.preprocess import Preprocessing
from reid.images import read_rgb


class ImageReader:
    """Reads images and fits them to the input size.

    Args:
        preprocessing: the size.
        cache: MiB of images that are kept; the first ones that fit stay, so that repeated passes are predictable.
    """

    def __init__(self, preprocessing: Preprocessing, cache: int = 0) -> None:
        self.preprocessing = preprocessing
        self._room = cache * 2**20 // (preprocessing.height * preprocessing.width * 3)
        self._kept: dict[Path, NDArray[np.uint8]] = {}

    def read(self, path: Path) -> NDArray[np.uint8]:
        """uint8 [height, width, 3].

        Raises:
            UserError: missing, or not an image.
        """
        kept = self._kept.get(path)
        if kept is None:
            kept = self.preprocessing.fit(read_rgb(path))
            if len(self._kept) < self._room:
                self._kept[path] = kept
        return kept

    def stack(self, paths: Sequence[Path]) -> NDArray[np.uint8]:
        """uint8 [n, 3, height, width]."""
        size = (self.preprocessing.height, self.preprocessing.width, 3)
        out = np.empty((len(paths), *size), dtype=np.uint8)
        for row, path in zip(out, paths, strict=True):
            row[:] = self.read(path)
        return np.ascontiguousarray(out.transpose(0, 3, 1, 2))
