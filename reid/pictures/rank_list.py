"""A rank list: queries at the left, what the gallery answered beside, right and wrong marked by colour and by sign."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from reid.errors import UserError
from reid.pictures.cell import PAPER, Size, blank_cell, fitted_cell, image_cell, sentence_cell
from reid.pictures.text import FAINT, INK, clip_lines, font, line_height, shorten, wrap

RIGHT = (21, 128, 61)
WRONG = (200, 30, 30)
QUERY = (60, 70, 90)
NEUTRAL = (150, 158, 170)
FRAME = 4
GAP = 8
MARGIN = 12
BADGE = 18
"""Side of the sign in a frame's corner: a tick or a cross, for who cannot tell green from red."""


@dataclass(frozen=True)
class RankedEntry:
    """One gallery entry that counts for the query.

    Attributes:
        shown: the image or its path, or the sentence; None: there is no picture of it.
        right: whether it is the person asked for; None where nobody knows.
        score: its similarity to the query.
        label: a word below it, e.g. its person and camera.
    """

    shown: Path | Image.Image | str | None
    right: bool | None
    score: float
    label: str = ""


@dataclass(frozen=True)
class RankRow:
    """One query and its answer.

    Attributes:
        shown: the query's image or its path, or its sentence.
        entries: best first; entries that the protocol drops are left out by the caller.
        label: a word below the query.
    """

    shown: Path | Image.Image | str
    entries: tuple[RankedEntry, ...]
    label: str = ""


def rank_list(
    rows: Sequence[RankRow],
    *,
    title: str = "",
    top: int = 10,
    height: int = 160,
    aspect: float = 0.5,
    skip_broken: bool = False,
) -> Image.Image:
    """Draw the first `top` answers to each query.

    A right answer has a green frame and a tick, a wrong one a red frame and a cross, one of which nobody knows a grey
    frame; the score stands below.

    Args:
        rows: queries with their answers.
        title: first line, e.g. the protocol's name and what was scored.
        top: answers per query.
        height: of an image, pixels.
        aspect: width of a cell over its height.
        skip_broken: show a hatched cell for an image that does not decode.

    Returns:
        An RGB image.

    Raises:
        UserError: no rows, or an image that does not decode.
    """
    if not rows:
        raise UserError("a rank list of no queries; choose at least one")
    geometry = _Geometry(rows, min(top, max(len(row.entries) for row in rows)), height, aspect, bool(title))
    picture = Image.new("RGB", (geometry.width, geometry.height), PAPER)
    draw = ImageDraw.Draw(picture)
    _draw_header(draw, geometry, title)
    for index, row in enumerate(rows):
        y = geometry.row_y(index)
        query = _cell(row.shown, (geometry.query_width, height), skip_broken)
        _framed(picture, query, (MARGIN, y), QUERY)
        label = [*_label_lines(row.label, geometry.query_width + 2 * FRAME), "", ""]
        _caption(draw, (MARGIN, y + height + 2 * FRAME), geometry.query_width + 2 * FRAME, label[0], label[1])
        for rank, entry in enumerate(row.entries[: geometry.top]):
            x = geometry.entry_x(rank)
            colour = NEUTRAL if entry.right is None else RIGHT if entry.right else WRONG
            _framed(picture, _cell(entry.shown, (geometry.entry_width, height), skip_broken), (x, y), colour)
            if entry.right is not None:
                _badge(draw, (x, y), entry.right)
            under = f"{entry.score:.3f}"
            _caption(draw, (x, y + height + 2 * FRAME), geometry.entry_width + 2 * FRAME, under, entry.label)
    return picture


@dataclass(frozen=True)
class _Geometry:
    """Where everything lies, in pixels."""

    rows: Sequence[RankRow]
    top: int
    image_height: int
    aspect: float
    has_title: bool

    @property
    def entry_width(self) -> int:
        """Of an image or a sentence of the gallery, inside its frame."""
        wide = any(isinstance(entry.shown, str) for row in self.rows for entry in row.entries[: self.top])
        return round(self.image_height * max(self.aspect, 0.9 if wide else 0.0))

    @property
    def query_width(self) -> int:
        """Sentences get more room than images."""
        has_sentence = any(isinstance(row.shown, str) for row in self.rows)
        return round(self.image_height * (max(self.aspect, 1.25) if has_sentence else self.aspect))

    @property
    def head(self) -> int:
        """Where the first row begins."""
        return MARGIN + (line_height(font(17)) + 6 if self.has_title else 0) + line_height(font(13)) + 4

    @property
    def row_height(self) -> int:
        """From one row to the next."""
        labelled = any(entry.label for row in self.rows for entry in row.entries[: self.top])
        labelled |= any(len(_label_lines(row.label, self.query_width + 2 * FRAME)) > 1 for row in self.rows)
        return self.image_height + 2 * FRAME + (2 if labelled else 1) * line_height(font(12)) + GAP + 4

    def row_y(self, index: int) -> int:
        """Upper edge of a row's frames."""
        return self.head + index * self.row_height

    def entry_x(self, rank: int) -> int:
        """Left edge of the frame at `rank`, from 0."""
        first = MARGIN + self.query_width + 2 * FRAME + 3 * GAP
        return first + rank * (self.entry_width + 2 * FRAME + GAP)

    @property
    def width(self) -> int:
        """Of the picture."""
        return self.entry_x(self.top) - GAP + MARGIN

    @property
    def height(self) -> int:
        """Of the picture."""
        return self.row_y(len(self.rows)) - GAP + MARGIN


def _draw_header(draw: ImageDraw.ImageDraw, geometry: _Geometry, title: str) -> None:
    face = font(13)
    if title:
        draw.text((MARGIN, MARGIN), shorten(title, font(17), geometry.width - 2 * MARGIN), INK, font(17))
    y = geometry.head - line_height(face) - 3
    draw.text((MARGIN, y), "query", FAINT, face)
    for rank in range(geometry.top):
        draw.text((geometry.entry_x(rank), y), str(rank + 1), FAINT, face)


def _cell(shown: Path | Image.Image | str | None, size: Size, skip_broken: bool) -> Image.Image:
    if shown is None:
        return blank_cell("no image", size)
    if isinstance(shown, str):
        return sentence_cell(shown, size) if shown else blank_cell("no text", size)
    if isinstance(shown, Image.Image):
        return fitted_cell(shown, size)
    return image_cell(shown, size, skip_broken=skip_broken)


def _framed(picture: Image.Image, cell: Image.Image, at: tuple[int, int], colour: tuple[int, int, int]) -> None:
    frame = Image.new("RGB", (cell.width + 2 * FRAME, cell.height + 2 * FRAME), colour)
    frame.paste(cell, (FRAME, FRAME))
    picture.paste(frame, at)


def _badge(draw: ImageDraw.ImageDraw, at: tuple[int, int], right: bool) -> None:
    """A white tick or cross on the frame's colour in its upper left corner."""
    x, y = at
    draw.rectangle((x, y, x + BADGE - 1, y + BADGE - 1), RIGHT if right else WRONG)
    if right:
        draw.line([(x + 4, y + 9), (x + 8, y + 13), (x + 14, y + 5)], (255, 255, 255), 3, joint="curve")
    else:
        draw.line((x + 5, y + 5, x + 13, y + 13), (255, 255, 255), 3)
        draw.line((x + 13, y + 5, x + 5, y + 13), (255, 255, 255), 3)


def _label_lines(label: str, width: int) -> list[str]:
    face = font(12)
    return clip_lines(wrap(label, face, width), 2, face, width)


def _caption(draw: ImageDraw.ImageDraw, at: tuple[int, int], width: int, first: str, second: str) -> None:
    face = font(12)
    for line, (words, colour) in enumerate(((first, INK), (second, FAINT))):
        draw.text((at[0], at[1] + 2 + line * line_height(face)), shorten(words, face, width), colour, face)
