"""Boxes of people from any detector, as JSON lines.

A line is a frame:

    {"image": "000123.jpg", "time": 1764288000.5, "camera": "door", "boxes": [
        {"box": [412, 80, 64, 170], "track": "7", "person": "ann", "metadata": {"confidence": 0.93}},
        [120, 95, 60, 160]]}

or one box of it, with "box" instead of "boxes" and the box's keys beside the frame's. `box` is left, top, width and
height in pixels, and may reach beyond the image; without any the whole image is the crop. `image` is relative to the
folder of the file of lines; instead of it "data" may hold an image file's bytes in base64. All other keys may be left
out: `time` (seconds since the epoch, UTC) is then now, `modality` that of the command, `person` nobody known.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from edge_runtime.enrol import Observation
from edge_runtime.gallery import UNKNOWN
from edge_runtime.images import read_image
from reid.errors import UserError
from reid.modality import Modality

_FRAME = {"image", "data", "time", "camera", "modality"}
_BOX = {"box", "track", "person", "metadata"}


@dataclass(frozen=True)
class Frame:
    """One image and who is in it; `problems` are boxes or an image that cannot be used, a line each."""

    observations: tuple[Observation, ...]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class BoxReader:
    """Reads frames.

    Attributes:
        folder: that images are relative to. where: names the lines in errors.
        camera, modality: where a line does not say.
        skip_broken: a line that cannot be used is a problem of its frame, and no error.
        now: the clock.
    """

    folder: Path
    where: str
    camera: str | None = None
    modality: Modality = Modality.RGB
    skip_broken: bool = False
    now: Callable[[], float] = time.time

    def frames(self, lines: Iterable[str]) -> Iterator[Frame]:
        """A frame for each line that is not empty.

        Raises:
            UserError: a line, its image or a box cannot be used; the line is named.
        """
        last: tuple[str, Image.Image] | None = None
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            where = f"{self.where}, line {number}"
            try:
                said = _parsed(line, where)
                # Several lines may be of one frame: it is decoded once.
                last = last if last is not None and last[0] == said.get("image") else None
                image = last[1] if last is not None else self._image(said, where)
                last = (said["image"], image) if "image" in said else None
            except UserError as error:
                if not self.skip_broken:
                    raise
                yield Frame((), (str(error),))
                continue
            yield self.cut(said, image, where)

    def cut(self, said: Mapping[str, Any], image: Image.Image, where: str) -> Frame:
        """The crops of one frame, whose image is there already.

        Args:
            said: the line. image: in mode RGB. where: names the line in errors.

        Raises:
            UserError: as `frames`.
        """
        kept, problems = [], []
        try:
            shared = self._shared(said, where)
            boxes = _boxes(said, where)
        except UserError as error:
            if not self.skip_broken:
                raise
            return Frame((), (str(error),))
        for place, box in enumerate(boxes):
            try:
                kept.append(_observation(box, image, shared, f"{where}, box {place}"))
            except UserError as error:
                if not self.skip_broken:
                    raise
                problems.append(str(error))
        return Frame(tuple(kept), tuple(problems))

    def _image(self, said: Mapping[str, Any], where: str) -> Image.Image:
        if "data" in said and "image" not in said:
            try:
                return read_image(base64.b64decode(said["data"], validate=True), name=where)
            except (binascii.Error, TypeError, ValueError) as error:
                raise UserError(f"{where}: 'data' is not base64 ({error})") from error
        if not isinstance(said.get("image"), str) or "data" in said:
            raise UserError(f"{where}: expected either 'image', a path, or 'data', a file's bytes in base64")
        return read_image(self.folder / said["image"])

    def _shared(self, said: Mapping[str, Any], where: str) -> Observation:
        """What a frame's observations have in common."""
        when = said.get("time", None)
        if when is None:
            when = self.now()
        if isinstance(when, bool) or not isinstance(when, (int, float)) or not math.isfinite(when):
            raise UserError(f"{where}: time {when!r}; expected seconds since the epoch")
        modality = said.get("modality")
        return Observation(
            b"",
            said.get("image", where),
            camera_id=_text(said, "camera", where) or self.camera,
            modality=self.modality if modality is None else Modality.parse(str(modality), where),
            time=float(when),
        )


def _parsed(line: str, where: str) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: is not JSON ({error}); expected a frame a line") from None
    if not isinstance(said, dict):
        raise UserError(f"{where}: is a {type(said).__name__}; expected a frame: {{...}}")
    several = "boxes" in said
    known = _FRAME | ({"boxes"} if several else _BOX)
    for name in said:
        if name not in known:
            raise UserError(f"{where}: key '{name}' is not known here; expected {', '.join(sorted(known))}")
    return said


def _boxes(said: Mapping[str, Any], where: str) -> list[Mapping[str, Any]]:
    if "boxes" not in said:
        return [{name: said[name] for name in _BOX if name in said}]
    if not isinstance(said["boxes"], list):
        raise UserError(f"{where}: 'boxes' is a {type(said['boxes']).__name__}; expected a list")
    found: list[Mapping[str, Any]] = [box if isinstance(box, dict) else {"box": box} for box in said["boxes"]]
    for place, box in enumerate(found):
        if unknown := set(box) - _BOX:
            raise UserError(
                f"{where}, box {place}: key '{min(unknown)}' is not known; expected {', '.join(sorted(_BOX))}"
            )
    return found


def _observation(box: Mapping[str, Any], image: Image.Image, shared: Observation, where: str) -> Observation:
    person, metadata = _text(box, "person", where), box.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise UserError(f"{where}: 'metadata' is a {type(metadata).__name__}; expected an object")
    return Observation(
        crop(image, box.get("box"), where),
        shared.name,
        None if person == UNKNOWN else person,
        shared.camera_id,
        shared.modality,
        shared.time,
        {**metadata, **({"box": box["box"]} if box.get("box") is not None else {})},
        _text(box, "track", where),
    )


def crop(image: Image.Image, box: Any, where: str) -> Image.Image:
    """The part of an image that is inside a box; the whole image if the box is None.

    Raises:
        UserError: it is no box, has no area, or lies outside.
    """
    if box is None:
        return image
    fitting = isinstance(box, list) and len(box) == 4
    fitting = fitting and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in box)
    if not fitting or not all(map(math.isfinite, box)):
        raise UserError(f"{where}: {json.dumps(box)[:80]} is no box; expected [left, top, width, height] in pixels")
    left, top, width, height = box
    edges = (
        max(0, math.floor(left)), max(0, math.floor(top)),
        min(image.width, math.ceil(left + width)), min(image.height, math.ceil(top + height)),
    )  # fmt: skip
    if width <= 0 or height <= 0 or edges[0] >= edges[2] or edges[1] >= edges[3]:
        raise UserError(f"{where}: box {box} holds nothing of an image of {image.width} x {image.height} pixels")
    return image.crop(edges)


def _text(said: Mapping[str, Any], name: str, where: str) -> str | None:
    """A string; a number, as detectors give for tracks and cameras, is taken as one."""
    value = said.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise UserError(f"{where}: '{name}' is a {type(value).__name__}; expected text")
    return str(value)
