"""Follow people through a camera: who is each track, as soon as it is known, and who is new.

    python examples/follow_stream.py --bundle BUNDLE --gallery people.db --threshold 0.55 \\
        --source rtsp://camera/stream --detector "python my_detector.py" --camera door
    python examples/follow_stream.py ... --source frames/ --boxes boxes.jsonl

--source is a folder of images, or what OpenCV opens: the number of a webcam, a URL, a video file.

Boxes come from any detector with any tracker, as JSON lines with [left, top, width, height] in pixels:

    {"frame": 12, "boxes": [{"box": [412, 80, 64, 170], "track": "7"}]}

--boxes is a file of such lines, of frames numbered from 0. --detector is a command that gets a line for each frame on
its standard input, {"frame": 12, "data": a JPEG in base64}, and answers each with a line of boxes.

What is printed: a line when a track gets a name, or another one. A track that ends without a name is enrolled as
unknown, one row for all of its crops, so that the next time it is "seen before".
"""

from __future__ import annotations

import base64
import io
import json
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

from edge_runtime.boxes import BoxReader
from edge_runtime.embedder import Embedder
from edge_runtime.enrol import Enroller, Observation
from edge_runtime.gallery import Gallery
from edge_runtime.images import read_image
from edge_runtime.search import Answer, Rules, fuse, identify, quality
from reid.cli.shell import run
from reid.errors import UserError
from reid.similarity import Floats

ENDINGS = {".jpg", ".jpeg", ".png"}
CROPS = 8
"""Of a track that are kept and fused: the last ones."""
GAP = 2.0
"""Seconds without a box after which a track has ended."""

Frames = Iterator[Image.Image]
Boxes = Callable[[int, Image.Image], Mapping[str, Any]]


@dataclass
class Track:
    """The last crops of a track with their embeddings and weights, and who it is so far."""

    crops: list[Observation] = field(default_factory=list)
    embeddings: list[Floats] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    name: str = ""
    matched: bool = False

    def add(self, crop: Observation, embedding: Floats, weight: float) -> None:
        """One more; the oldest goes."""
        self.crops = [*self.crops, crop][-CROPS:]
        self.embeddings = [*self.embeddings, embedding][-CROPS:]
        self.weights = [*self.weights, weight][-CROPS:]


class Follower:
    """Answers for each track, and enrols those that end without a name."""

    def __init__(
        self, embedder: Embedder, gallery: Gallery, threshold: float | None, say: Callable[[str], None]
    ) -> None:
        self._embedder, self._gallery, self._say = embedder, gallery, say
        self._rules = Rules(top=1, threshold=threshold)
        self._enroller = Enroller(embedder, gallery)
        self._tracks: dict[str, Track] = {}

    def see(self, seen: Sequence[Observation], now: float) -> None:
        """One frame's boxes: embedded together, answered by track."""
        if seen:
            images = [read_image(one.image) for one in seen]
            rows = self._embedder.embed(images, [one.modality for one in seen])
            for one, image, row in zip(seen, images, rows, strict=True):
                self._tracks.setdefault(one.track or "?", Track()).add(one, row, quality(np.asarray(image)))
            names = list(dict.fromkeys(one.track or "?" for one in seen))
            fused = np.stack([fuse(np.stack(t.embeddings), t.weights) for t in map(self._tracks.__getitem__, names)])
            for name, answer in zip(names, identify(self._gallery, fused, rules=self._rules), strict=True):
                self._tell(name, self._tracks[name], answer)
        for name in [name for name, track in self._tracks.items() if now - track.crops[-1].time > GAP]:
            self._end(name, self._tracks.pop(name))

    def finish(self) -> None:
        """No more frames."""
        for name, track in self._tracks.items():
            self._end(name, track)
        self._tracks = {}

    def _tell(self, name: str, track: Track, answer: Answer) -> None:
        told, track.matched = in_words(answer), answer.matched
        if told != track.name:
            score = "" if answer.score is None else f" ({answer.score:.3f}, {len(track.crops)} crops)"
            self._say(f"track {name}: {told}{score}")
            track.name = told

    def _end(self, name: str, track: Track) -> None:
        if not track.matched:
            self._enroller.add(track.crops)
            self._say(f"track {name} has ended and is enrolled as unknown")


def in_words(answer: Answer) -> str:
    """Who it is."""
    if answer.person_id is not None:
        return answer.person_id
    return f"unknown, seen before as row {answer.candidates[0].row_id}" if answer.matched else "unknown"


def open_source(source: str) -> tuple[Frames, float]:
    """Frames in mode RGB, and how many come in a second.

    Raises:
        UserError: it cannot be opened, or needs OpenCV, which is not installed.
    """
    folder = Path(source)
    if folder.is_dir():
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
        return (read_image(path) for path in files), 25.0
    try:
        import cv2
    except ImportError as error:
        raise UserError(f"--source {source}: needs OpenCV; pip install opencv-python-headless") from error
    capture = cv2.VideoCapture(int(source) if source.isdigit() else source)
    if not capture.isOpened():
        raise UserError(
            f"--source {source}: OpenCV cannot open it; expected a folder, a webcam's number, a URL, a video"
        )

    def frames() -> Frames:
        while True:
            there, frame = capture.read()
            if not there:
                capture.release()
                return
            # OpenCV's order is blue, green, red: this is where it is declared.
            yield read_image(frame, bgr=True)

    return frames(), float(capture.get(cv2.CAP_PROP_FPS)) or 25.0


def boxes_of_file(path: Path) -> Boxes:
    """Boxes by the number of the frame."""
    by_frame = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            said = json.loads(line)
            by_frame[int(said["frame"])] = said
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}, line {number}: expected a frame's number and its boxes ({error})") from error
    return lambda number, _: by_frame.get(number, {"boxes": []})


def boxes_of_command(command: str, stack: ExitStack) -> Boxes:
    """Boxes of a detector that runs beside."""
    child = stack.enter_context(
        subprocess.Popen(shlex.split(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    )
    assert child.stdin is not None
    assert child.stdout is not None
    asking, answering = child.stdin, child.stdout

    def ask(number: int, frame: Image.Image) -> Mapping[str, Any]:
        try:
            asking.write(json.dumps({"frame": number, "data": base64.b64encode(whole_jpeg(frame)).decode()}) + "\n")
            asking.flush()
            return dict(json.loads(answering.readline()))
        except (OSError, ValueError) as error:
            raise UserError(f"--detector: answered no line of boxes to frame {number} ({error})") from error

    return ask


def whole_jpeg(frame: Image.Image) -> bytes:
    """The frame in its own size."""
    out = io.BytesIO()
    frame.save(out, "jpeg", quality=90)
    return out.getvalue()


@click.command()
@click.option("--bundle", type=click.Path(path_type=Path), required=True)
@click.option("--gallery", "place", type=click.Path(path_type=Path), required=True)
@click.option("--source", required=True, help="A folder, a webcam's number, a URL, a video.")
@click.option("--boxes", type=click.Path(path_type=Path, exists=True), help="JSON lines, by the frame's number.")
@click.option("--detector", help="A command that answers frames with boxes.")
@click.option("--camera", help="Its name in the gallery.")
@click.option("--threshold", type=float, help="Cosine from which on it is the person.")
def follow_stream(
    bundle: Path, place: Path, source: str, boxes: Path | None, detector: str | None, camera: str | None,
    threshold: float | None,
) -> None:  # fmt: skip
    """Say who is in a stream."""
    if (boxes is None) == (detector is None):
        raise UserError("expected either --boxes or --detector")
    with ExitStack() as stack:
        frames, rate = open_source(source)
        find = boxes_of_file(boxes) if boxes is not None else boxes_of_command(str(detector), stack)
        embedder = stack.enter_context(Embedder.load(bundle, say=lambda line: click.echo(line, err=True)))
        gallery = stack.enter_context(Gallery.open(place, space_id=embedder.space_id, dim=embedder.dim))
        follower = Follower(embedder, gallery, threshold, click.echo)
        reader = BoxReader(Path(), "boxes", camera, skip_broken=True)
        began = time.time()
        for number, frame in enumerate(frames):
            found = reader.cut({"boxes": find(number, frame).get("boxes", [])}, frame, f"frame {number}")
            for problem in found.problems:
                click.echo(f"skipped: {problem}", err=True)
            now = began + number / rate
            follower.see([replace(one, time=now) for one in found.observations], now)
        follower.finish()
        click.echo(f"{place}: {gallery.count} rows")


if __name__ == "__main__":
    run(follow_stream, "follow_stream.py")
