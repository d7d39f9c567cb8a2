"""Reading every image of a data set once: does it decode, how large is it, and is it a copy of another?"""

from __future__ import annotations

import hashlib
import os
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from reid.errors import UserError
from reid.images import read_rgb
from reid.progress import progress_bar
from reid.sample import Sample

MIN_SIDE, MAX_SIDE, MAX_ASPECT = 16, 4096, 10.0
"""A person crop outside of these (pixels; longer side by shorter side) is no person crop, or a broken one."""
CHUNK = 32
"""Images per task: large enough that handing out tasks costs nothing."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What one file turned out to be.

    Attributes:
        error: why it cannot be read; None if it can.
        width, height: pixels; 0 where it was not decoded.
        digest: of its bytes; None where no other file has the same size and no other sample names this file.
    """

    error: str | None = None
    width: int = 0
    height: int = 0
    digest: str | None = None

    @property
    def is_odd(self) -> bool:
        """Whether a decoded image is too small, too large or too narrow to show a person."""
        low, high = sorted((self.width, self.height))
        return high > 0 and (low < MIN_SIDE or high > MAX_SIDE or high > MAX_ASPECT * low)


def scan_images(samples: Sequence[Sample], *, decode: bool = True, progress: bool = True) -> dict[Path, ImageFacts]:
    """The facts about each image file that `samples` name, each file read once.

    Args:
        samples: those with an image are looked at.
        decode: decode to the last byte and look for copies; otherwise only see whether the file is there.
        progress: show a progress bar.
    """
    named = Counter(s.image for s in samples if s.image is not None)
    sizes = {path: _size(path) for path in named}
    facts = {path: ImageFacts("missing" if size is None else "empty file") for path, size in sizes.items() if not size}
    present = [path for path in named if path not in facts]
    if not decode:
        return {**facts, **{path: ImageFacts() for path in present}}
    shared = Counter(sizes[path] for path in present)
    tasks = [(path, shared[sizes[path]] > 1 or named[path] > 1) for path in present]
    with progress_bar(what="decoding", unit="images", total=len(tasks), shown=progress) as bar:
        for path, fact in _in_threads(tasks):
            facts[path] = fact
            bar.update()
    return facts


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


def _in_threads(tasks: Sequence[tuple[Path, bool]]) -> Iterator[tuple[Path, ImageFacts]]:
    """Facts of all tasks in order. Pillow and hashlib release the interpreter lock, so threads are enough.

    No more than a few chunks are under way at once, so neither the results nor the futures of a large data set pile up.
    """
    workers = min(8, os.cpu_count() or 1)
    under_way: deque[Future[list[tuple[Path, ImageFacts]]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(tasks), CHUNK):
            under_way.append(pool.submit(_read_chunk, tasks[start : start + CHUNK]))
            if len(under_way) > 2 * workers:
                yield from under_way.popleft().result()
        while under_way:
            yield from under_way.popleft().result()


def _read_chunk(tasks: Sequence[tuple[Path, bool]]) -> list[tuple[Path, ImageFacts]]:
    return [(path, _read(path, hashed)) for path, hashed in tasks]


def _read(path: Path, hashed: bool) -> ImageFacts:
    """One file, decoded by the function that training reads it with, so what passes here can be trained on."""
    try:
        image = read_rgb(path)
        with Image.open(path) as file:
            # Decoding a PNG stops where its pixels are complete; this goes over the rest and all checksums.
            file.verify()
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if hashed else None
    except UserError as error:
        cause = error.__cause__ or error
        return ImageFacts(
            "not an image" if isinstance(cause, UnidentifiedImageError) else str(cause).partition("\n")[0]
        )
    except (OSError, SyntaxError, ValueError) as error:
        return ImageFacts(getattr(error, "strerror", None) or str(error))
    return ImageFacts(None, image.width, image.height, digest)
