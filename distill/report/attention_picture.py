"""Images of some people, one row for each modality, each beside what the student looks at in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from distill.report.attention import look
from distill.report.plots import NAMES
from reid.dataset import Dataset
from reid.embeddings import EmbeddingStore
from reid.images import read_rgb
from reid.modality import Modality
from reid.pictures.cell import PAPER, blank_cell
from reid.pictures.text import FAINT, INK, font, line_height, shorten
from reid.sample import Sample, Split
from reid.subspace import Subspace
from student.model import StudentModel
from teacher.batch import MODALITIES

_HEIGHT, _GAP, _MARGIN, _APART = 288, 4, 24, 24
"""Pixels; the picture is shown at half its size."""
_WIDEST = 300
_FACE = 24

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Seen:
    """An image as the student gets it, and where it looks.

    Attributes:
        sample: whose it is. pixels: uint8 [H, W, 3]. places: float32 [rows, columns], sum 1.
    """

    sample: Sample
    pixels: Pixels
    places: NDArray[np.float32]


def see(
    student: StudentModel, subspace: Subspace, store: EmbeddingStore, samples: Sequence[Sample], *, batch: int = 16
) -> list[Seen]:
    """Let a student look at images.

    Args:
        student: who looks. subspace, store: what its teacher makes of the same samples.
        samples: images that the store holds. batch: images per pass.

    Raises:
        UserError: an image does not decode.
    """
    seen = []
    for start in range(0, len(samples), batch):
        some = samples[start : start + batch]
        pixels = np.stack([student.preprocessing.fit(read_rgb(s.image)) for s in some if s.image is not None])
        known = store.embeddings(store.rows_of([sample.sample_id for sample in some]))
        targets = torch.from_numpy(subspace.project(known, [sample.modality for sample in some]))
        codes = torch.tensor([MODALITIES.index(sample.modality) for sample in some])
        maps = look(student, torch.from_numpy(student.preprocessing.normalise(pixels)), codes, targets).numpy()
        seen += [Seen(*one) for one in zip(some, pixels, maps, strict=True)]
    return seen


def choose(dataset: Dataset, people: int = 6) -> list[Sample]:
    """An image of each image modality of some people: of test people if there are any, else of others.

    People who are known in more modalities come first, and among those they are taken at even steps.
    """
    for splits in ((Split.TEST, Split.QUERY, Split.GALLERY), (Split.VAL,), (Split.TRAIN,)):
        images: dict[str, dict[Modality, Sample]] = {}
        for sample in dataset.select(*splits):
            if sample.modality.is_image:
                images.setdefault(sample.person_id, {}).setdefault(sample.modality, sample)
        if not images:
            continue
        most = max(map(len, images.values()))
        full = [person for person, known in images.items() if len(known) == most]
        fewer = [person for person, known in images.items() if len(known) < most]
        evenly = np.unique(np.linspace(0, len(full) - 1, min(people, len(full))).round().astype(int))
        chosen = [*(full[place] for place in evenly), *fewer][:people]
        return [images[person][m] for m in Modality for person in chosen if m in images[person]]
    return []


def draw_seen(seen: Sequence[Seen]) -> Image.Image:
    """Rows of modalities, columns of people; in each, the image and the places on it, from dark to bright.

    Args:
        seen: at least one.
    """
    height, width = seen[0].pixels.shape[:2]
    cell = (min(_WIDEST, max(1, round(_HEIGHT * width / height))), _HEIGHT)
    people = list(dict.fromkeys(one.sample.person_id for one in seen))
    modalities = [m for m in Modality if any(one.sample.modality is m for one in seen)]
    known = {(one.sample.modality, one.sample.person_id): one for one in seen}
    face = font(_FACE)
    label, line = max(round(face.getlength(NAMES[m])) for m in modalities) + _APART, line_height(face) + 8
    pair = 2 * cell[0] + _GAP
    size = (
        2 * _MARGIN + label + len(people) * (pair + _APART) - _APART,
        2 * _MARGIN + line + len(modalities) * (_HEIGHT + _APART) - _APART,
    )
    picture = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(picture)
    for column, person in enumerate(people):
        x = _MARGIN + label + column * (pair + _APART)
        draw.text((x, _MARGIN), shorten(person, face, pair), FAINT, face)
        for row, modality in enumerate(modalities):
            y = _MARGIN + line + row * (_HEIGHT + _APART)
            if column == 0:
                draw.text((_MARGIN, y + _HEIGHT // 2 - _FACE), NAMES[modality], INK, face)
            one = known.get((modality, person))
            if one is None:
                picture.paste(blank_cell("none", (pair, _HEIGHT)), (x, y))
                continue
            image = Image.fromarray(one.pixels).resize(cell, Image.Resampling.BICUBIC)
            picture.paste(image, (x, y))
            picture.paste(overlay(image, one.places), (x + cell[0] + _GAP, y))
    return picture


def overlay(image: Image.Image, places: NDArray[np.float32]) -> Image.Image:
    """An image in grey under the colours of its map, whose least place is dark and whose greatest is bright."""
    from matplotlib import colormaps

    low, high = float(places.min()), float(places.max())
    scaled = (places - low) / (high - low) if high > low else np.zeros_like(places)
    # Resized as floats, so that steps of 1 / 255 do not show.
    smooth = np.asarray(Image.fromarray(scaled.astype(np.float32)).resize(image.size, Image.Resampling.BICUBIC))
    heat = np.clip(smooth, 0, 1)[..., None]
    colours = colormaps["inferno"](heat[..., 0])[..., :3]
    grey = np.asarray(image.convert("L"), dtype=np.float64)[..., None] / 255
    # White paper would outshine the colours on it.
    share = 0.45 + 0.3 * heat
    mixed = (1 - share) * 0.75 * grey + share * colours
    return Image.fromarray((255 * mixed).round().astype(np.uint8))
