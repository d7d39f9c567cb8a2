"""Text in pictures, with the scalable font that Pillow brings: no font needs to be installed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache

from PIL import ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont
INK = (26, 32, 44)
FAINT = (105, 115, 130)
MARK = (190, 40, 30)
"""Colour of marked words; they are underlined too, for who does not see it."""
ELLIPSIS = "…"


@lru_cache(maxsize=32)
def font(size: int) -> Font:
    """Pillow's built-in font at `size` pixels."""
    loaded = ImageFont.load_default(size)
    assert isinstance(loaded, ImageFont.FreeTypeFont)
    return loaded


def line_height(face: Font) -> int:
    """Pixels from one line of text to the next."""
    ascent, descent = face.getmetrics()
    return ascent + descent + 1


def wrap(text: str, face: Font, width: int) -> list[str]:
    """`text` in lines of at most `width` pixels, broken at blanks; a word wider than that is broken anywhere."""
    lines: list[str] = []
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and face.getlength(joined) <= width:
            lines[-1] = joined
            continue
        while face.getlength(word) > width and len(word) > 1:
            head = next(n for n in range(len(word) - 1, 0, -1) if n == 1 or face.getlength(word[:n]) <= width)
            lines.append(word[:head])
            word = word[head:]
        lines.append(word)
    return lines


def shorten(text: str, face: Font, width: int) -> str:
    """`text` on one line, cut with an ellipsis if it is wider than `width` pixels."""
    if face.getlength(text) <= width:
        return text
    while text and face.getlength(text + ELLIPSIS) > width:
        text = text[:-1]
    return text.rstrip() + ELLIPSIS


def clip_lines(lines: Sequence[str], most: int, face: Font, width: int) -> list[str]:
    """The first `most` lines; the last of them ends in an ellipsis if there were more."""
    if len(lines) <= most:
        return list(lines)
    kept = list(lines[:most])
    if kept:
        kept[-1] = shorten(kept[-1] + " " + ELLIPSIS * 2, face, width).replace(ELLIPSIS * 2, ELLIPSIS)
    return kept


def draw_lines(
    draw: ImageDraw.ImageDraw,
    at: tuple[int, int],
    lines: Sequence[str],
    face: Font,
    fill: tuple[int, int, int] = INK,
    marked: Collection[str] = (),
) -> int:
    """Write `lines` below each other from the upper left corner `at`; words in `marked` (see `bare`) stand out.

    Returns:
        The y below the last line.
    """
    x, y = at
    for line in lines:
        if not marked:
            draw.text((x, y), line, fill, face)
        else:
            _draw_marked(draw, (x, y), line, face, fill, marked)
        y += line_height(face)
    return y


def _draw_marked(
    draw: ImageDraw.ImageDraw,
    at: tuple[int, int],
    line: str,
    face: Font,
    fill: tuple[int, int, int],
    marked: Collection[str],
) -> None:
    x, y = float(at[0]), at[1]
    ascent, _ = face.getmetrics()
    for word in line.split():
        stands_out = bare(word) in marked
        draw.text((x, y), word, MARK if stands_out else fill, face)
        width = face.getlength(word)
        if stands_out:
            draw.line((x, y + ascent + 1, x + width - 1, y + ascent + 1), MARK)
        x += width + face.getlength(" ")


def bare(word: str) -> str:
    """A word as it is compared: lower case, without punctuation around it."""
    return word.strip(".,;:!?\"'()[]{}").lower()
