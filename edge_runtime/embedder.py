"""Images of people in, embeddings out."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle import Bundle, open_bundle
from edge_runtime.bundle.contents import IMAGES
from edge_runtime.engines.choose import ENGINES, Say, Serving, Tried, candidates, choose, has
from edge_runtime.engines.engine import MODALITY, PIXELS
from edge_runtime.engines.tensorrt.first_start import FirstStart
from edge_runtime.engines.tensorrt.machine import Machine, look_around
from edge_runtime.images import ImageSource, Problem, fit_into, listed, read_image
from reid.errors import UserError
from reid.modality import Modality
from reid.similarity import normalise

Floats = NDArray[np.float32]
Modalities = Modality | str | Sequence[Modality | str]


def _quiet(line: str) -> None:
    pass


class Embedder:
    """A bundle's student, running. Several threads may embed at once. Use it as a context manager, or `close` it.

    Made by `load`.
    """

    def __init__(self, bundle: Bundle, serving: Serving, say: Say = _quiet, start: FirstStart | None = None) -> None:
        self.bundle = bundle
        self._serving, self._say, self._start = serving, say, start
        self._codes = {modality: IMAGES.index(modality) for modality in bundle.modalities if modality in IMAGES}
        # A buffer serves one thread at a time; as many are made as threads come.
        self._buffers: deque[Floats] = deque()

    @classmethod
    def load(
        cls,
        bundle: Bundle | Path | str,
        *,
        engine: str = "auto",
        precision: str | None = None,
        key: Path | bytes | None = None,
        threads: int = 0,
        cache: Path | None = None,
        wait: bool = False,
        say: Say = _quiet,
        machine: Machine | None = None,
    ) -> Embedder:
        """Verify a bundle, find the engine that serves it here, and let the check crops decide whether it may.

        From the fastest down: TensorRT, ONNX Runtime on the GPU, ONNX Runtime on the CPU, OpenVINO. A TensorRT engine
        is built once, in a process of its own; meanwhile ONNX Runtime serves.

        Args:
            bundle: its folder or archive, or one that is open already (then `key` must be None).
            engine: "auto", or the only one that will do: "tensorrt", "onnxruntime", "openvino".
            precision: the only one that will do ("fp32", "fp16", "bf16", "int8"; "int8-cpu" is the graph that "int8" is
                on a CPU); None: what suits the engine.
            key: a public key that must have signed the bundle.
            threads: of the CPU; 0: as many as there are cores.
            cache: folder of the engines that are built here; None: `engines` beside the bundle, or the user's cache.
            wait: build a TensorRT engine before anything is embedded. "tensorrt" always does.
            say: takes lines of progress, and what was chosen and why.
            machine: this machine, if it has been looked at already.

        Raises:
            UserError: the bundle is damaged, not signed by the key or lacks the precision; or no engine will do, and
                why not, one by one.
        """
        if engine not in ENGINES:
            raise UserError(f"--engine: found '{engine}'; expected one of {', '.join(ENGINES)}")
        if not isinstance(bundle, Bundle):
            bundle = open_bundle(Path(bundle), key=key)
        elif key is not None:
            raise ValueError("a key is checked when a bundle is opened; this one is open already")
        if precision is not None and not has(bundle, precision):
            bundle.graph(precision)  # refuses, and names those that there are
        check = bundle.check()
        start, tried = None, tuple[Tried, ...]()
        if engine in ("auto", "tensorrt"):
            start = FirstStart(bundle, check, machine or look_around(), precision, cache, say)
            serving = start.ready()
            if serving is None and start.possible and (wait or engine == "tensorrt"):
                serving = start.build()
            if serving is not None:
                return cls._made(bundle, serving, say)
            tried = start.tried
            if engine == "tensorrt":
                raise UserError(f"--engine tensorrt: cannot be had here: {'; '.join(tried_.why for tried_ in tried)}")
        offered = candidates(bundle, engine, precision, threads=threads, cache=cache)
        made = cls._made(bundle, choose(bundle, check, offered, say, tried), say)
        if start is not None and start.possible and not wait:
            made._start = start
            start.in_background(made._take)
        return made

    @classmethod
    def _made(cls, bundle: Bundle, serving: Serving, say: Say) -> Embedder:
        say(f"engine: {serving}")
        return cls(bundle, serving, say)

    def __enter__(self) -> Embedder:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give everything back. An engine that is still being built is given up."""
        if self._start is not None:
            self._start.stop()
        self._serving.engine.close()
        self._buffers.clear()

    @property
    def engine(self) -> Serving:
        """What serves now, and why: name and provider, precision, the check crops' verdict, what else was tried."""
        return self._serving

    @property
    def building(self) -> bool:
        """Whether a TensorRT engine is being built in the background."""
        return self._start is not None and self._start.building

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the engine that is being built; whether nothing is being built any more."""
        return self._start is None or self._start.wait(timeout)

    @property
    def dim(self) -> int:
        """k, numbers of an embedding."""
        return self.bundle.dim

    @property
    def space_id(self) -> str:
        """What gallery and queries must share."""
        return self.bundle.space_id

    def embed(
        self,
        images: Sequence[ImageSource] | NDArray[Any],
        modality: Modalities,
        *,
        bgr: bool = False,
        skip_bad: bool = False,
    ) -> Floats:
        """Embeddings float32 [n, k] of length 1.

        Args:
            images: n of them: uint8 [n, H, W, 3], or a list of arrays [H, W, 3] of any sizes, paths, or files' bytes.
            modality: of all of them, or one for each.
            bgr: arrays hold blue, green, red (OpenCV's order).
            skip_bad: what cannot be read is said and gets a row of NaN, and the others go on.

        Raises:
            UserError: an image cannot be used (it is named), or the bundle has no such modality.
        """
        found, problems = self.embed_readable(images, modality, bgr=bgr, strict=not skip_bad)
        for problem in problems:
            self._say(f"skipped: {problem.why}")
        return found

    def embed_readable(
        self,
        images: Sequence[ImageSource] | NDArray[Any],
        modality: Modalities,
        *,
        bgr: bool = False,
        strict: bool = False,
    ) -> tuple[Floats, list[Problem]]:
        """As `embed`, and what is wrong with the images whose rows are NaN. `strict`: the first is an error."""
        sources = listed(images)
        codes = self._modality_codes(modality, len(sources))
        found = np.full((len(sources), self.dim), np.nan, dtype=np.float32)
        problems: list[Problem] = []
        serving = self._serving
        size = self._batch(len(sources), serving)
        buffer = self._buffer()
        try:
            for start in range(0, len(sources), size):
                rows: list[int] = []
                for row in range(start, min(start + size, len(sources))):
                    try:
                        image = read_image(sources[row], bgr=bgr, name=f"image {row}")
                    except UserError as error:
                        if strict:
                            raise
                        problems.append(Problem(row, str(error)))
                        continue
                    fit_into(image, self.bundle.preprocessing, buffer[len(rows)])
                    rows.append(row)
                if rows:
                    found[rows] = self._coordinates(serving, buffer[: len(rows)], codes[rows], rows)
        finally:
            self._buffers.append(buffer)
        return found, problems

    def _coordinates(self, serving: Serving, pixels: Floats, codes: NDArray[np.int64], rows: Sequence[int]) -> Floats:
        engine = serving.engine
        feeds: dict[str, NDArray[Any]] = {PIXELS: pixels}
        if MODALITY in engine.inputs:
            feeds[MODALITY] = codes
        return normalise(engine.run(feeds), [f"image {row}" for row in rows], copy=False)

    def _batch(self, count: int, serving: Serving) -> int:
        """Images at once: as many as the profile allows, evenly over the batches."""
        most = self.bundle.profile.max
        if serving.engine.largest:
            most = min(most, serving.engine.largest)
        batches = max(1, -(-count // most))
        return max(1, -(-count // batches))

    def _buffer(self) -> Floats:
        try:
            return self._buffers.pop()
        except IndexError:
            fit = self.bundle.preprocessing
            return np.empty((self.bundle.profile.max, 3, fit.height, fit.width), dtype=np.float32)

    def _modality_codes(self, modality: Modalities, count: int) -> NDArray[np.int64]:
        if isinstance(modality, str):  # Modality is one
            return np.full(count, self._code(modality), dtype=np.int64)
        if len(modality) != count:
            raise UserError(f"modality: {len(modality)} for {count} images; expected one, or one for each")
        return np.array([self._code(one) for one in modality], dtype=np.int64).reshape(count)

    def _code(self, modality: Modality | str) -> int:
        asked = Modality.parse(modality)
        if asked is Modality.TEXT:
            raise UserError("modality: 'text' has no image; sentences are answered by edge_runtime.text")
        if asked not in self._codes:
            raise UserError(
                f"modality: the bundle has no '{asked}', only {', '.join(map(str, self._codes))}; name one of them, or "
                "distil a student of all"
            )
        return self._codes[asked]

    def _take(self, serving: Serving) -> None:
        """Let a finished engine serve. Calls that are under way end on the one before, which then goes by itself."""
        self._serving = replace(serving, tried=(*self._serving.tried, *serving.tried))
        self._say(f"engine: {self._serving}")
