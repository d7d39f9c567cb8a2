"""How long the stages of an answer take: decode, preprocess, engine, search."""

from __future__ import annotations

import io
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_runtime.bundle import Bundle, CheckSet
from edge_runtime.embedder import Embedder
from edge_runtime.engines.engine import MODALITY, PIXELS
from edge_runtime.gallery import Filter, Gallery, Row
from edge_runtime.images import fit_into, read_image
from reid.similarity import normalise

CROP = (80, 200)
"""Width and height of the crops that are decoded: what a detector cuts out of a 1080p frame at some metres."""
PER_PERSON = 10


@dataclass(frozen=True)
class Stage:
    """Milliseconds of one stage, for one crop or one query."""

    name: str
    p50: float
    p99: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def crops_of(check: CheckSet, quality: int = 90) -> list[bytes]:
    """The bundle's check crops as JPEG files of a usual size."""
    made = []
    for pixels in check.pixels:
        out = io.BytesIO()
        Image.fromarray(pixels).resize(CROP, Image.Resampling.BICUBIC).save(out, "jpeg", quality=quality)
        made.append(out.getvalue())
    return made


@contextmanager
def random_gallery(bundle: Bundle, rows: int, index: str = "auto") -> Iterator[Gallery]:
    """A gallery of rows of random directions, in a temporary folder."""
    rng = np.random.default_rng(0)
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "gallery.db"
        gallery = stack.enter_context(Gallery.open(place, space_id=bundle.space_id, dim=bundle.dim, index=index))
        for start in range(0, rows, 4096):
            vectors = rng.standard_normal((min(4096, rows - start), bundle.dim), dtype=np.float32)
            vectors = normalise(vectors, ["row"] * len(vectors))
            gallery.add(
                [Row(v, f"p{i // PER_PERSON}", f"c{i % 4}", time=float(i)) for i, v in enumerate(vectors, start)]
            )
        yield gallery


def stages(
    embedder: Embedder, gallery: Gallery | None, crops: Sequence[bytes], *, rounds: int, batches: Sequence[int] = (1,)
) -> list[Stage]:
    """Each stage alone, `rounds` times after a warm-up.

    Args:
        embedder: whose preprocessing and engine. gallery: to search; None: it is left out.
        crops: JPEG files of one modality, taken in turn.
        batches: of the engine, each of which is a stage; larger ones than the engine takes are left out.
    """
    fit = embedder.bundle.preprocessing
    images = [read_image(crop) for crop in crops]
    target = np.empty((3, fit.height, fit.width), np.float32)
    found = [
        timed("decode", lambda i: read_image(crops[i % len(crops)]), rounds),
        timed("preprocess", lambda i: fit_into(images[i % len(images)], fit, target), rounds),
    ]
    most = min(embedder.bundle.profile.max, embedder.engine.engine.largest or embedder.bundle.profile.max)
    for batch in batches:
        if batch <= most:
            run = partial(embedder.engine.engine.run, feeds_of(embedder, images, batch))
            found.append(timed(f"engine, batch {batch}", lambda i, run=run: run(), rounds))  # type: ignore[misc]
    if gallery is not None:
        queries = gallery_queries(gallery)
        where = Filter(not_cameras=("c1",))
        found.append(timed("search top 10", lambda i: gallery.search(queries[i % 64][None], 10), rounds))
        found.append(
            timed("search, a camera left out", lambda i: gallery.search(queries[i % 64][None], 10, where), rounds)
        )
    return found


def feeds_of(embedder: Embedder, images: Sequence[Image.Image], batch: int) -> dict[str, NDArray[Any]]:
    """What the engine takes of a batch."""
    fit = embedder.bundle.preprocessing
    pixels = np.empty((batch, 3, fit.height, fit.width), np.float32)
    for place in range(batch):
        fit_into(images[place % len(images)], fit, pixels[place])
    feeds: dict[str, NDArray[Any]] = {PIXELS: pixels}
    if MODALITY in embedder.engine.engine.inputs:
        feeds[MODALITY] = np.zeros(batch, np.int64)
    return feeds


def gallery_queries(gallery: Gallery) -> NDArray[np.float32]:
    """64 random directions."""
    queries = np.random.default_rng(1).standard_normal((64, gallery.dim), dtype=np.float32)
    rows: NDArray[np.float32] = normalise(queries, ["query"] * 64)
    return rows


def throughput(embedder: Embedder, crops: Sequence[bytes], *, seconds: float, callers: int = 1) -> float:
    """Crops a second from JPEG to embedding, in batches of the profile's preferred size, by threads that each call."""
    size = min(embedder.bundle.profile.opt, embedder.engine.engine.largest or embedder.bundle.profile.opt)
    batch = [crops[i % len(crops)] for i in range(size)]
    modality = next(m for m in embedder.bundle.modalities if m.is_image)
    embedder.embed(batch, modality)
    done = [0] * callers
    stop = threading.Event()

    def call(place: int) -> None:
        while not stop.is_set():
            embedder.embed(batch, modality)
            done[place] += size

    threads = [threading.Thread(target=call, args=(place,), daemon=True) for place in range(callers)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    stop.wait(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - start)


def timed(name: str, call: Callable[[int], object], rounds: int) -> Stage:
    """Median and 99th percentile of `rounds` calls, of wall milliseconds."""
    for i in range(min(5, rounds)):
        call(i)
    taken = np.empty(rounds)
    for i in range(rounds):
        start = time.perf_counter()
        call(i)
        taken[i] = 1e3 * (time.perf_counter() - start)
    return Stage(name, float(np.percentile(taken, 50)), float(np.percentile(taken, 99)))
