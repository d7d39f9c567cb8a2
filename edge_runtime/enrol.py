"""Observations of people into a gallery: read, embedded, several crops of one person fused, and committed."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edge_runtime.embedder import Embedder
from edge_runtime.gallery import Gallery, Row
from edge_runtime.images import ImageSource, read_image
from edge_runtime.search import fuse, quality
from reid.errors import UserError
from reid.modality import Modality
from reid.similarity import Floats

HIGHEST = 512
"""Pixels of a stored crop's height at most: more than any student takes."""
JPEG_QUALITY = 90
_AS_IT_IS = 64 * 2**10
"""A JPEG file of at most so many bytes is stored as it is, not encoded again."""


@dataclass(frozen=True)
class Observation:
    """One crop of one person.

    Attributes:
        image: as `edge_runtime.images.read_image` takes it.
        name: what it is called in errors and in the row's metadata.
        person_id, camera_id, modality, time, metadata: as in `edge_runtime.gallery.Row`.
        track: crops of one track, person, camera and modality become one row; None: a row of its own.
    """

    image: ImageSource
    name: str
    person_id: str | None = None
    camera_id: str | None = None
    modality: Modality = Modality.RGB
    time: float = 0.0
    metadata: Mapping[str, Any] = field(default_factory=dict)
    track: str | None = None


@dataclass(frozen=True)
class Enrolled:
    """What became of some observations.

    Attributes:
        ids: of the new rows, ascending; they are on disk.
        crops: how many observations they rest on. skipped: what could not be used, a line each.
    """

    ids: tuple[int, ...]
    crops: int
    skipped: tuple[str, ...] = ()


class Enroller:
    """Puts observations into a gallery.

    Args:
        embedder: whose bundle's space is the gallery's. gallery: opened for writing.
        crops: keep each row's picture as a JPEG: for `--show`, and to embed it again with another bundle.
        skip_broken: go on when an image cannot be used; it is said.
        bgr: arrays hold blue, green, red.
    """

    def __init__(
        self, embedder: Embedder, gallery: Gallery, *, crops: bool = True, skip_broken: bool = False, bgr: bool = False
    ) -> None:
        self._embedder, self._gallery = embedder, gallery
        self._crops, self._skip_broken, self._bgr = crops, skip_broken, bgr

    def add(self, observations: Sequence[Observation]) -> Enrolled:
        """All of them in one commit, which is on disk when this returns.

        Raises:
            UserError: an image cannot be used and `skip_broken` is not set, or a row cannot be stored; nothing was
                added.
        """
        kept, images, skipped = self._read(observations)
        if not kept:
            return Enrolled((), 0, tuple(skipped))
        embeddings = self._embedder.embed(images, [one.modality for one in kept])
        rows = [self._row(kept, images, embeddings, members) for members in _groups(kept)]
        return Enrolled(tuple(self._gallery.add(rows)), len(kept), tuple(skipped))

    def _read(self, observations: Sequence[Observation]) -> tuple[list[Observation], list[Image.Image], list[str]]:
        kept: list[Observation] = []
        images: list[Image.Image] = []
        skipped: list[str] = []
        for one in observations:
            try:
                images.append(read_image(one.image, bgr=self._bgr, name=one.name))
                kept.append(one)
            except UserError as error:
                if not self._skip_broken:
                    raise
                skipped.append(str(error))
        return kept, images, skipped

    def _row(
        self, kept: Sequence[Observation], images: Sequence[Image.Image], embeddings: Floats, members: Sequence[int]
    ) -> Row:
        best, embedding = fused(images, embeddings, members)
        first, shown = kept[members[0]], kept[best]
        metadata = {"name": shown.name, **shown.metadata}
        if first.track is not None:
            metadata |= {"track": first.track, "crops": len(members)}
        crop = as_jpeg(images[best], shown.image) if self._crops else None
        return Row(embedding, first.person_id, first.camera_id, first.modality, first.time, crop, metadata)


def fused(images: Sequence[Image.Image], embeddings: Floats, members: Sequence[int]) -> tuple[int, Floats]:
    """Which member is the best crop, and the embedding [k] of all of them together, weighted by quality."""
    if len(members) == 1:
        one: Floats = embeddings[members[0]]
        return members[0], one
    weights = [quality(np.asarray(images[i])) for i in members]
    return members[int(np.argmax(weights))], fuse(embeddings[list(members)], weights)


def as_jpeg(image: Image.Image, source: ImageSource = b"") -> bytes:
    """A picture to keep: the source's own bytes if it is a small JPEG that lies upright, else encoded again.

    Args:
        image: decoded. source: what it was decoded from.
    """
    own = _own_jpeg(image, source)
    if own is not None:
        return own
    if image.height > HIGHEST:
        image = image.resize((max(1, round(image.width * HIGHEST / image.height)), HIGHEST), Image.Resampling.LANCZOS)
    # JPEG has sizes up to 65535; no crop of a person is that wide.
    if image.width > 8 * HIGHEST:
        image = image.resize((8 * HIGHEST, image.height), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "jpeg", quality=JPEG_QUALITY)
    return out.getvalue()


def _own_jpeg(image: Image.Image, source: ImageSource) -> bytes | None:
    data = b""
    if isinstance(source, (bytes, bytearray, memoryview)) and len(source) <= _AS_IT_IS:
        data = bytes(source)
    elif isinstance(source, (str, Path)):
        path = Path(source)
        data = path.read_bytes() if path.stat().st_size <= _AS_IT_IS else b""
    return data if data.startswith(b"\xff\xd8") and image.height <= HIGHEST else None


def _groups(observations: Sequence[Observation]) -> list[list[int]]:
    """Places of the observations that make up each row, in the order of their first."""
    groups: dict[object, list[int]] = {}
    for place, one in enumerate(observations):
        alone = one.track is None
        key = place if alone else (one.track, one.person_id, one.camera_id, one.modality)
        groups.setdefault(key, []).append(place)
    return list(groups.values())


def in_batches(
    observations: Sequence[Observation], size: int, add: Callable[[Sequence[Observation]], Enrolled]
) -> list[Enrolled]:
    """`add` to about `size` observations at a time; those of one track, which follow each other, stay together."""
    done = []
    start = 0
    while start < len(observations):
        end = min(start + size, len(observations))
        while end < len(observations) and _together(observations[end - 1], observations[end]):
            end += 1
        done.append(add(observations[start:end]))
        start = end
    return done


def _together(one: Observation, other: Observation) -> bool:
    return one.track is not None and (one.track, one.person_id) == (other.track, other.person_id)
