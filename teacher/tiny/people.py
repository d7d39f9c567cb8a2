"""The people of the pre-training in memory, and their photographs moved, mirrored and without colour."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reid.synthetic.world import World
from reid.synthetic.write import write_world
from teacher.data.images import ImageReader
from teacher.encoder import Encoder

_PAD = 4
"""Pixels by which a photograph is moved at most."""
_BRIGHTNESS = 0.2


@dataclass(frozen=True)
class Captioned:
    """People: photographs uint8 [n, H, W, 3], whose they are [n], and the token ids of each person's sentences."""

    photographs: NDArray[np.uint8]
    person: NDArray[np.int64]
    sentences: list[list[list[int]]]


def render(world: World, encoder: Encoder, workers: int) -> Captioned:
    """Every photograph and sentence of a world."""
    reader = ImageReader(encoder.backbone.preprocessing)
    with tempfile.TemporaryDirectory() as folder:
        write_world(world, Path(folder) / "people", workers=workers)
        samples = world.samples(Path(folder) / "people")
        photographs = [sample for sample in samples if sample.image is not None]
        pixels = np.stack([reader.read(Path(sample.image or "")) for sample in photographs])
    people = {world.person_id(number): number for number in range(world.people)}
    sentences: list[list[str]] = [[] for _ in people]
    for sample in samples:
        if sample.text is not None:
            sentences[people[sample.person_id]].append(sample.text)
    tokens = [encoder.book.captions(texts)[0] for texts in sentences]
    return Captioned(pixels, np.array([people[sample.person_id] for sample in photographs]), tokens)


class Views:
    """Photographs as the model reads them, each moved and mirrored at random.

    Args:
        data: whose photographs. encoder: whose scaling of pixels.
        grey: the share that loses its colour, so that the shape of clothes counts too.
    """

    def __init__(self, data: Captioned, encoder: Encoder, grey: float) -> None:
        self.data, self.grey = data, grey
        scale, shift = encoder.backbone.preprocessing.scale_and_shift()
        self.scale, self.shift = torch.from_numpy(scale)[:, None, None], torch.from_numpy(shift)[:, None, None]

    def __call__(self, rows: NDArray[np.int64], generator: np.random.Generator) -> Tensor:
        """float32 [n, 3, H, W] of these rows of the photographs."""
        images = []
        for photograph in self.data.photographs[rows]:
            moved = np.roll(photograph, generator.integers(-_PAD, _PAD + 1, 2).tolist(), axis=(0, 1))
            images.append(moved[:, ::-1] if generator.random() < 0.5 else moved)
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()
        if self.grey:
            pixels = self._without_colour(pixels, generator)
        return pixels * self.scale + self.shift

    def _without_colour(self, pixels: Tensor, generator: np.random.Generator) -> Tensor:
        """A random mixture of the channels in the place of each, for some; brighter or darker, for all."""
        n = len(pixels)
        mixture = torch.from_numpy(generator.dirichlet((1.0, 1.0, 1.0), n)).float()
        grey = torch.einsum("nc,nchw->nhw", mixture, pixels)[:, None].expand_as(pixels)
        chosen = torch.from_numpy(generator.random(n) < self.grey)[:, None, None, None]
        brightness = torch.from_numpy(generator.uniform(1 - _BRIGHTNESS, 1 + _BRIGHTNESS, n)).float()
        return torch.where(chosen, grey, pixels) * brightness[:, None, None, None]
