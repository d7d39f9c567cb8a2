"""Options that several commands share, and what they stand for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edge_runtime.bundle import Bundle, open_bundle
from edge_runtime.bundle.layout import KIND
from edge_runtime.gallery import Gallery
from reid.artifact import newest
from reid.errors import UserError
from reid.modality import Modality

if TYPE_CHECKING:
    from edge_runtime.embedder import Embedder

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

GALLERY = Path("runs/gallery/gallery.db")
GALLERY_SUFFIXES = (".db", ".sqlite", ".sqlite3", ".gallery")
"""A first word with one of these endings is the gallery; so is an SQLite file of any name."""
ENGINES = ("auto", "tensorrt", "onnxruntime", "openvino")
"""The keys of `edge_runtime.engines.choose.ENGINES`, which --help need not import."""

_SQLITE = b"SQLite format 3\0"
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|h|d)\Z")
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
skip_broken_option = click.option(
    "--skip-broken", is_flag=True, help="Go on when an image cannot be used; each is named."
)
modality_option = click.option(
    "--modality", metavar="MODALITY", help="Of the images: rgb, ir or sketch. Default: rgb, or the only one there is."
)
index_option = click.option(
    "--index",
    type=click.Choice(["auto", "faiss", "numpy", "sq8"]),
    default="auto",
    show_default=True,
    help="How rows are scanned. sq8: 8-bit codes with exact re-scoring, for more than 200,000 rows.",
)


def bundle_options(command: Decorated) -> Decorated:
    """What names a bundle, and the engine that runs it."""
    for option in (
        click.option("--cache", type=click.Path(path_type=Path), help="Folder of the engines that are built here."),
        click.option("--threads", type=click.IntRange(0), default=0, help="Of the CPU. Default: as many as cores."),
        click.option("--precision", help="fp32, fp16, bf16 or int8. Default: what suits the engine."),
        click.option(
            "--engine", type=click.Choice(ENGINES), default="auto", show_default=True, help="The only one that will do."
        ),
        key_option,
        bundle_option,
    ):
        command = option(command)
    return command


bundle_option = click.option(
    "--bundle", "bundle_path", type=click.Path(path_type=Path), help="Folder or archive. Default: the newest in ./runs."
)
key_option = click.option("--key", type=click.Path(path_type=Path), help="A public key (PEM) that must have signed it.")


def filter_options(command: Decorated) -> Decorated:
    """Conditions on a gallery's rows."""
    for option in (
        click.option("--known/--not-known", default=None, help="Only rows with, or without, a person."),
        click.option("--until", metavar="TIME", help="Seen before this time."),
        click.option("--since", metavar="TIME", help="Seen at or after: 2026-11-28T10:00 (UTC), 90min, 12h, 7d, now."),
        click.option("--seen-in", "modalities", multiple=True, help="Seen in this modality; repeatable."),
        click.option("--not-camera", "not_cameras", multiple=True, help="Not seen by this camera; repeatable."),
        click.option("--camera", "cameras", multiple=True, help="Seen by this camera; repeatable."),
    ):
        command = option(command)
    return command


@dataclass(frozen=True)
class Speaker:
    """Says things: notes on standard error, results as lines or as one JSON document on standard output."""

    as_json: bool = False

    def note(self, line: str) -> None:
        """Of what is going on."""
        click.echo(line, err=True)

    def line(self, line: str) -> None:
        """A line of the result, for people."""
        if not self.as_json:
            click.echo(line)

    def document(self, result: Any) -> None:
        """The result, for programs."""
        if self.as_json:
            click.echo(json.dumps(result, ensure_ascii=False, allow_nan=False))


def find_bundle(path: Path | None, key: Path | None, say: Speaker) -> Bundle:
    """The bundle that was named, or the newest, verified.

    Raises:
        UserError: there is none, or it does not hold.
    """
    if path is None:
        path = newest(KIND, Path("runs"))
        say.note(f"taking the newest bundle, {path}")
    return open_bundle(path, key=key)


def load_embedder(
    bundle: Bundle | Path | None, say: Speaker, *, key: Path | None, engine: str, precision: str | None, threads: int,
    cache: Path | None, wait: bool = False,
) -> Embedder:  # fmt: skip
    """The embedder that the options of `bundle_options` name."""
    from edge_runtime.embedder import Embedder

    if not isinstance(bundle, Bundle):
        bundle = find_bundle(bundle, key, say)
    return Embedder.load(
        bundle, engine=engine, precision=precision, threads=threads, cache=cache, wait=wait, say=say.note
    )


def split_gallery(words: Sequence[str], say: Speaker) -> tuple[Path, list[str]]:
    """The gallery, and the other words: the first word is the gallery if it looks like one."""
    if words and is_gallery_name(words[0]):
        return Path(words[0]), list(words[1:])
    say.note(f"taking the gallery {GALLERY}")
    return GALLERY, list(words)


def is_gallery_name(word: str) -> bool:
    """Whether a word names a gallery: by its ending, or because an SQLite file lies there."""
    path = Path(word)
    return path.suffix.lower() in GALLERY_SUFFIXES or is_sqlite(path)


def is_sqlite(path: Path) -> bool:
    """Whether an SQLite file lies there."""
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError:
        return False


def open_gallery(path: Path | None, say: Speaker, **options: Any) -> Gallery:
    """The gallery at `path`, or the default one; it must be there."""
    if path is None:
        path = GALLERY
        say.note(f"taking the gallery {path}")
    return Gallery.open(path, create=False, **options)


def image_modality(name: str | None, modalities: Iterable[Modality], where: str = "--modality") -> Modality:
    """The modality of images that was asked for: by default RGB, or the only one that the bundle has.

    Raises:
        UserError: the bundle does not have it; those that it has are named.
    """
    there = [modality for modality in modalities if modality.is_image]
    if name is None:
        return Modality.RGB if Modality.RGB in there or not there else there[0]
    asked = Modality.parse(name, where)
    if asked not in there:
        raise UserError(f"{where} {asked}: the bundle has no such images; it has {', '.join(map(str, there))}")
    return asked


def parse_modalities(names: Sequence[str], where: str) -> tuple[Modality, ...] | None:
    """Those that were named; None if none was."""
    return tuple(Modality.parse(name, where) for name in names) or None


def moment(text: str | None, option: str, now: float) -> float | None:
    """Seconds since the epoch of "2026-11-28T10:00" (UTC unless it says otherwise), "90min" ago, "now" or a number.

    Raises:
        UserError: it is none of these.
    """
    if text is None:
        return None
    if text == "now":
        return now
    if span := _SPAN.match(text):
        return now - float(span[1]) * _SECONDS[span[2]]
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        return float(text)
    try:
        # Python 3.10 does not know the Z.
        when = datetime.fromisoformat(re.sub(r"Z\Z", "+00:00", text))
    except ValueError:
        raise UserError(
            f"{option} {text}: expected a time such as 2026-11-28T10:00 (UTC), 90min, 12h, 7d, now, or seconds since "
            "1970"
        ) from None
    return (when if when.tzinfo else when.replace(tzinfo=timezone.utc)).timestamp()


def when(seconds: float) -> str:
    """A time for people."""
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g} s"


def table(rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> list[str]:
    """Rows of words in columns, those in `right` to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    return [
        "  ".join(
            word.rjust(w) if i in right else word.ljust(w) for i, (word, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
