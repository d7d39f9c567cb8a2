"""`edge enroll`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from edge_runtime.cli.options import (
    Speaker,
    bundle_options,
    image_modality,
    json_option,
    load_embedder,
    modality_option,
    moment,
    skip_broken_option,
    split_gallery,
)
from edge_runtime.gallery import UNKNOWN, Filter, Gallery
from reid.errors import UserError
from reid.modality import Modality
from reid.progress import progress_bar

if TYPE_CHECKING:
    from edge_runtime.enrol import Enrolled, Enroller, Observation

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
_RETAIN_EVERY = 256
"""Commits of a stream between two times that old rows are deleted."""


@dataclass(frozen=True)
class Retention:
    """What is deleted as new rows come; nothing by default. Rows with a person stay unless `known`."""

    keep_days: float | None
    max_rows: int | None
    known: bool

    def apply(self, gallery: Gallery) -> int:
        """How many rows were deleted."""
        if self.keep_days is None and self.max_rows is None:
            return 0
        where = Filter() if self.known else Filter(known=False)
        return gallery.apply_retention(keep_days=self.keep_days, max_rows=self.max_rows, where=where)


@click.command("enroll")
@click.argument("words", nargs=-1, metavar="[GALLERY] [IMAGE | FOLDER]...")
@click.option("--person", help="Who the images show. Default: nobody known, or the name of the sub-folder.")
@click.option("--camera", help="Which camera saw them.")
@click.option("--time", "time_", metavar="TIME", help="When: 2026-11-28T10:00 (UTC), 2h ago as 2h. Default: now.")
@modality_option
@click.option("--boxes", type=click.Path(path_type=Path, allow_dash=True), help="Frames as JSON lines; - is a pipe.")
@click.option("--tracklets", is_flag=True, help="Fuse the crops of one person (folder, command, track) into one row.")
@click.option("--tracklet-crops", type=click.IntRange(2), default=8, show_default=True, help="Of a stream, at most.")
@click.option("--tracklet-gap", type=float, default=2.0, show_default=True, help="Seconds after which a track ended.")
@click.option("--new-only", is_flag=True, help="Pass over files that were enrolled before, by their path.")
@click.option("--crops/--no-crops", default=True, show_default=True, help="Keep the pictures, as JPEG.")
@click.option("--keep-days", type=click.FloatRange(0), help="Afterwards delete unknown rows older than this.")
@click.option("--max-rows", type=click.IntRange(0), help="Afterwards keep this many unknown rows, the newest.")
@click.option("--forget-known", is_flag=True, help="Let the two delete rows of known people as well.")
@bundle_options
@skip_broken_option
@json_option
def enroll_command(
    words: tuple[str, ...], person: str | None, camera: str | None, time_: str | None, modality: str | None,
    boxes: Path | None, tracklets: bool, tracklet_crops: int, tracklet_gap: float, new_only: bool, crops: bool,
    keep_days: float | None, max_rows: int | None, forget_known: bool, skip_broken: bool, as_json: bool,
    bundle_path: Path | None, **chosen: Any,
) -> None:  # fmt: skip
    """Put people into a gallery, which is made if it is not there.

    IMAGEs show one person. A FOLDER has a sub-folder for each person, named after them, unless --person says who is in
    it. --boxes reads a detector's frames, a line each; what a line may say stands in edge_runtime/boxes.py. What has
    been said to be enrolled is on disk. With --boxes every line is one commit.

    \b
    edge enroll people.db --person ann --camera door ann1.jpg ann2.jpg --tracklets
    edge enroll people.db staff/
    detector | edge enroll people.db --boxes - --camera door --keep-days 30
    """
    from edge_runtime.enrol import Enroller

    say = Speaker(as_json)
    place, rest = split_gallery(words, say)
    if bool(rest) == (boxes is not None):
        raise UserError("enroll: expected either images and folders, or --boxes")
    if boxes is not None and person is not None:
        raise UserError("--person: the lines of --boxes say who is in a box; leave --person out")
    when = moment(time_, "--time", time.time())
    listed = [] if boxes is not None else list_images([Path(word) for word in rest], person, tracklets)
    retention = Retention(keep_days, max_rows, forget_known)
    with load_embedder(bundle_path, say, **chosen) as embedder:
        kind = image_modality(modality, embedder.bundle.modalities)
        place.parent.mkdir(parents=True, exist_ok=True)
        with Gallery.open(place, space_id=embedder.space_id, dim=embedder.dim) as gallery:
            enroller = Enroller(embedder, gallery, crops=crops, skip_broken=skip_broken)
            tally = Tally(say)
            if boxes is not None:
                tracks = (tracklet_crops, tracklet_gap) if tracklets else None
                _stream(enroller, gallery, boxes, camera, kind, skip_broken, tracks, retention, tally)
            else:
                moved = time.time() if when is None else when
                seen = [replace(one, camera_id=camera, modality=kind, time=moved) for one in listed]
                _files(enroller, gallery, seen, new_only, embedder.bundle.profile.max, tally)
            tally.deleted += retention.apply(gallery)
            tally.tell(place, gallery)


class Tally:
    """What was done so far."""

    def __init__(self, say: Speaker) -> None:
        self.ids: list[int] = []
        self.crops = self.deleted = self.passed = 0
        self.skipped: list[str] = []
        self._say = say

    def count(self, done: Enrolled) -> None:
        """Of one commit."""
        self.ids += done.ids
        self.crops += done.crops
        self.skip(done.skipped)

    def skip(self, problems: Sequence[str]) -> None:
        """What could not be used is named when it comes up."""
        for problem in problems:
            self.skipped.append(problem)
            self._say.note(f"skipped: {problem}")

    def tell(self, place: Path, gallery: Gallery) -> None:
        """The end."""
        more = [f"{self.crops} crops"] if self.crops != len(self.ids) else []
        more += [f"{self.passed} were there already"] if self.passed else []
        more += [f"{len(self.skipped)} skipped"] if self.skipped else []
        more += [f"{self.deleted} old rows deleted"] if self.deleted else []
        extra = f" ({', '.join(more)})" if more else ""
        self._say.line(f"enrolled {len(self.ids)} rows{extra}; {place} has {gallery.count}")
        self._say.document(
            {
                "gallery": str(place), "ids": self.ids, "crops": self.crops, "skipped": self.skipped,
                "there already": self.passed, "deleted": self.deleted, "rows": gallery.count,
            }
        )  # fmt: skip


def list_images(places: Sequence[Path], person: str | None, tracklets: bool) -> list[Observation]:
    """Images and who they show; a folder's are in the order of their names.

    Raises:
        UserError: one is not there, or a folder holds no images.
    """
    from edge_runtime.enrol import Observation

    def one(path: Path, who: str | None, track: str) -> Observation:
        return Observation(path, str(path), None if who == UNKNOWN else who, track=track if tracklets else None)

    found: list[Observation] = []
    for place in places:
        if place.is_dir() and person is not None:
            found += [one(path, person, str(place)) for path in _images(place)]
        elif place.is_dir():
            people = sorted(path for path in place.iterdir() if path.is_dir())
            if not people:
                raise UserError(
                    f"{place}: has no sub-folders, one for each person; make them, or say who with --person"
                )
            for folder in people:
                # A folder inside a person's folder is a tracklet of its own.
                found += [one(path, folder.name, str(path.parent)) for path in _images(folder)]
        elif place.exists():
            found.append(one(place, person, "command line"))
        else:
            raise UserError(f"{place}: no such image or folder")
    return found


def _images(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    if not found:
        raise UserError(f"{folder}: holds no images ({', '.join(sorted(IMAGE_SUFFIXES))}); fill it or remove it")
    return found


def _files(
    enroller: Enroller, gallery: Gallery, seen: list[Observation], new_only: bool, batch: int, tally: Tally
) -> None:
    from edge_runtime.enrol import in_batches

    seen = [replace(one, metadata={"file": str(Path(one.name).resolve())}) for one in seen]
    if new_only:
        there = _files_there(gallery)
        left = [one for one in seen if one.metadata["file"] not in there]
        tally.passed, seen = len(seen) - len(left), left
    with progress_bar(what="enrolling", unit="images", total=len(seen)) as bar:

        def add(part: Sequence[Observation]) -> Enrolled:
            done = enroller.add(part)
            tally.count(done)
            bar.update(len(part))
            return done

        in_batches(seen, batch, add)


def _files_there(gallery: Gallery) -> set[str]:
    ids = gallery.ids()
    found: set[str] = set()
    for start in range(0, len(ids), 1000):
        rows = gallery.rows(ids[start : start + 1000], missing_ok=True, crops=False)
        found |= {str(row.metadata["file"]) for row in rows if "file" in row.metadata}
    return found


def _stream(
    enroller: Enroller, gallery: Gallery, source: Path, camera: str | None, modality: Modality, skip_broken: bool,
    tracklets: tuple[int, float] | None, retention: Retention, tally: Tally,
) -> None:  # fmt: skip
    """A commit for each line, or with tracklets for each that is complete."""
    from edge_runtime.boxes import BoxReader
    from edge_runtime.tracks import Tracks

    tracks = None if tracklets is None else Tracks(*tracklets)
    with _lines(source) as (lines, folder):
        reader = BoxReader(folder, str(source), camera, modality, skip_broken)
        try:
            for number, frame in enumerate(reader.frames(lines), 1):
                tally.skip(frame.problems)
                for part in [_apart(frame.observations)] if tracks is None else tracks.take(frame.observations):
                    tally.count(enroller.add(part))
                if number % _RETAIN_EVERY == 0:
                    tally.deleted += retention.apply(gallery)
        finally:
            # Also what was seen before a line that cannot be read, or before Ctrl-C.
            for part in tracks.rest() if tracks is not None else ():
                tally.count(enroller.add(part))


def _apart(seen: Sequence[Observation]) -> list[Observation]:
    """Every crop as a row of its own, which remembers its track."""
    return [
        replace(one, track=None, metadata={**one.metadata, "track": one.track}) if one.track is not None else one
        for one in seen
    ]


@contextmanager
def _lines(source: Path) -> Iterator[tuple[TextIO, Path]]:
    """The lines, and the folder that their images are relative to."""
    if str(source) == "-":
        yield sys.stdin, Path()
        return
    try:
        with source.open(encoding="utf-8") as file:
            yield file, source.parent
    except OSError as error:
        if error.filename != str(source):
            raise
        raise UserError(f"{source}: cannot be read ({error.strerror}); expected JSON lines") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{source}: is no text ({error.reason}); expected JSON lines") from error
