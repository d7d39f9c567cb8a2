"""One cell of a picture: an observation, or the lack of one, fitted into a rectangle."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

from reid.errors import UserError
from reid.images import read_rgb
from reid.pictures.text import FAINT, INK, clip_lines, draw_lines, font, line_height, wrap

Size = tuple[int, int]
"""Width and height in pixels."""
GROUND = (226, 229, 234)
"""Behind an image whose shape is not the cell's."""
PAPER = (255, 255, 255)
TEXT_SIZES = range(17, 8, -1)


def image_cell(path: Path, size: Size, *, skip_broken: bool = False) -> Image.Image:
    """The image at `path` as large as fits into `size`, in the middle, never distorted.

    Raises:
        UserError: it does not decode; with `skip_broken` the cell says so instead.
    """
    try:
        image = read_rgb(path)
    except UserError:
        if not skip_broken:
            raise
        return blank_cell("unreadable", size)
    return fitted_cell(image, size)


def fitted_cell(image: Image.Image, size: Size) -> Image.Image:
    """An RGB image as large as fits into `size`, in the middle, never distorted."""
    scale = min(size[0] / image.width, size[1] / image.height)
    width, height = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    cell = Image.new("RGB", size, GROUND)
    fitted = image.resize((width, height), Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC)
    cell.paste(fitted, ((size[0] - width) // 2, (size[1] - height) // 2))
    return cell


def blank_cell(word: str, size: Size) -> Image.Image:
    """A hatched cell with a word that says why nothing is there."""
    cell = Image.new("RGB", size, (244, 245, 247))
    draw = ImageDraw.Draw(cell)
    width, height = size
    for start in range(-height, width, 9):
        draw.line((start, height, start + height, 0), (228, 231, 236))
    face = font(max(9, min(13, width // 5)))
    length = face.getlength(word)
    left, top = (width - length) / 2, (height - line_height(face)) / 2
    draw.rectangle((left - 3, top - 1, left + length + 3, top + line_height(face)), (244, 245, 247))
    draw.text((left, top), word, FAINT, face)
    return cell


def sentence_cell(sentence: str, size: Size, fill: tuple[int, int, int] = INK) -> Image.Image:
    """A sentence in the largest of a few sizes in which it fits; cut with an ellipsis if it fits in none."""
    cell = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(cell)
    margin = 4
    width, height = size[0] - 2 * margin, size[1] - 2 * margin
    for points in TEXT_SIZES:
        face = font(points)
        lines = wrap(sentence, face, width)
        if len(lines) * line_height(face) <= height:
            break
    lines = clip_lines(lines, max(1, height // line_height(face)), face, width)
    top = margin + max(0, (height - len(lines) * line_height(face)) // 2)
    draw_lines(draw, (margin, top), lines, face, fill)
    return cell
