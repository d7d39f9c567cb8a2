"""A contact sheet: a few people of a data set as rows, how they were observed as columns, their captions beside."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from PIL import Image, ImageDraw

from reid.errors import UserError
from reid.modality import Modality
from reid.pictures.cell import GROUND, PAPER, blank_cell, image_cell
from reid.pictures.sheet_plan import Column, Row, choose_observations, choose_people, differences, plan_columns
from reid.pictures.text import FAINT, INK, draw_lines, font, line_height, shorten, wrap
from reid.sample import Sample

TITLES = {Modality.RGB: "RGB", Modality.IR: "infrared", Modality.SKETCH: "sketch", Modality.TEXT: "text"}
STRIPES = {
    Modality.RGB: (43, 108, 176),
    Modality.IR: (155, 44, 44),
    Modality.SKETCH: (74, 85, 104),
    Modality.TEXT: (39, 110, 70),
}
GAP = 4
ROW_GAP = 12
MARGIN = 10
LABEL_WIDTH = 84
CAPTION_WIDTH = 330


def contact_sheet(
    samples: Sequence[Sample],
    *,
    people: int | Sequence[str] = 6,
    seed: int = 0,
    height: int = 160,
    columns: int = 12,
    captions: int = 2,
    attributes: Mapping[str, Mapping[str, str]] | None = None,
    title: str = "",
    mark_differences: bool = False,
    skip_broken: bool = False,
) -> Image.Image:
    """Draw people as rows and modalities x cameras as columns.

    A sketch or an infrared view that was made from a photograph on the sheet is preferred to others. A person who was
    not observed in some way has a hatched cell there.

    Args:
        samples: of a data set.
        people: how many, chosen by `seed` among those who were observed in the most modalities; or their person_ids.
        seed: of the choice of people and images.
        height: of a cell, pixels; its width follows from the images' usual shape.
        columns: at most so many; every modality keeps one, then the cameras that saw most of the people.
        captions: at most so many for each person.
        attributes: person_id -> name -> value, written below the captions.
        title: first line of the sheet.
        mark_differences: make words stand out that are said of one person on the sheet and of no other: how to tell
            look-alikes apart.
        skip_broken: show a hatched cell for an image that does not decode.

    Returns:
        An RGB image.

    Raises:
        UserError: no images, an unknown person, an image that does not decode.
    """
    rng = random.Random(f"contact sheet {seed}")
    chosen = choose_people(samples, people, rng)
    of_person = {person: [s for s in samples if s.person_id == person] for person in chosen}
    shown = [s for own in of_person.values() for s in own if s.modality.is_image]
    if not shown:
        raise UserError(f"no images of {', '.join(chosen[:3])}; a contact sheet needs some")
    plan = plan_columns(shown, max(1, columns))
    described = attributes or {}
    rows = [
        choose_observations(person, own, plan, captions, described.get(person, {}), rng)
        for person, own in of_person.items()
    ]
    width = _cell_width([s for row in rows for s in row.images if s is not None], height)
    return _Sheet(plan, rows, width, height, title, mark_differences, skip_broken).draw()


def _cell_width(images: Sequence[Sample], height: int) -> int:
    """Width of a cell from the median shape of the images, between a narrow walker and a square."""
    shapes = []
    for s in images:
        assert s.image is not None
        try:
            with Image.open(s.image) as opened:
                shapes.append(opened.width / opened.height)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            continue
    return round(height * min(1.0, max(0.3, median(shapes) if shapes else 0.5)))


@dataclass(frozen=True)
class _Sheet:
    """All that is drawn, and where."""

    plan: Sequence[Column]
    rows: Sequence[Row]
    cell_width: int
    cell_height: int
    title: str
    mark_differences: bool
    skip_broken: bool

    def draw(self) -> Image.Image:
        face, small = font(self._points), font(self._points - 2)
        marks = differences(self.rows) if self.mark_differences else {}
        blocks = [self._caption_lines(row) for row in self.rows]
        heights = [
            max(self.cell_height, len(said) * line_height(face) + len(told) * line_height(small))
            for said, told in blocks
        ]
        sheet = Image.new("RGB", (self.width, self.top + sum(h + ROW_GAP for h in heights) + MARGIN), PAPER)
        draw = ImageDraw.Draw(sheet)
        self._draw_header(draw)
        y = self.top
        for row, height, (said, told) in zip(self.rows, heights, blocks, strict=True):
            self._draw_label(draw, row, y)
            for index, sample in enumerate(row.images):
                size = (self.cell_width, self.cell_height)
                cell = blank_cell("none", size) if sample is None else self._image(sample, size)
                sheet.paste(cell, (self.column_x(index), y))
                # Sketches are as white as the sheet; a hairline shows where they end.
                left, right = self.column_x(index) - 1, self.column_x(index) + self.cell_width
                draw.rectangle((left, y - 1, right, y + self.cell_height), outline=GROUND)
            below = draw_lines(draw, (self.caption_x, y), said, face, INK, marks.get(row.person_id, ()))
            draw_lines(draw, (self.caption_x, below), told, small, FAINT, marks.get(row.person_id, ()))
            y += height + ROW_GAP
        return sheet

    def _image(self, sample: Sample, size: tuple[int, int]) -> Image.Image:
        assert isinstance(sample.image, Path)
        return image_cell(sample.image, size, skip_broken=self.skip_broken)

    @property
    def _points(self) -> int:
        return max(12, min(16, self.cell_height // 11))

    @property
    def top(self) -> int:
        """Where the first row begins."""
        lines = (line_height(font(self._points + 3)) + 6) if self.title else 0
        return MARGIN + lines + 2 * line_height(font(self._points)) + 8

    def column_x(self, index: int) -> int:
        """Left edge of a column; modalities stand a little apart."""
        changes = sum(
            a.modality is not b.modality for a, b in zip(self.plan[:index], self.plan[1 : index + 1], strict=False)
        )
        return MARGIN + LABEL_WIDTH + index * (self.cell_width + GAP) + changes * 2 * GAP

    @property
    def caption_x(self) -> int:
        """Left edge of the captions."""
        return self.column_x(len(self.plan) - 1) + self.cell_width + 4 * GAP

    @property
    def width(self) -> int:
        """Of the sheet."""
        has_words = any(row.captions or row.attributes for row in self.rows)
        return self.caption_x + (CAPTION_WIDTH + MARGIN if has_words else 0)

    def _caption_lines(self, row: Row) -> tuple[list[str], list[str]]:
        face, small = font(self._points), font(self._points - 2)
        said = [line for text in row.captions for line in (*wrap(text, face, CAPTION_WIDTH), "")]
        told = wrap(row.attributes, small, CAPTION_WIDTH)
        return said if told else said[:-1], told

    def _draw_label(self, draw: ImageDraw.ImageDraw, row: Row, y: int) -> None:
        face, small = font(self._points + 1), font(self._points - 2)
        draw.text((MARGIN, y), shorten(row.person_id, face, LABEL_WIDTH - 2 * GAP), INK, face)
        splits = dict.fromkeys(str(s.split) for s in row.images if s is not None)
        lines = wrap(", ".join(splits), small, LABEL_WIDTH - 2 * GAP)
        draw_lines(draw, (MARGIN, y + line_height(face)), lines, small, FAINT)

    def _draw_header(self, draw: ImageDraw.ImageDraw) -> None:
        face, large = font(self._points), font(self._points + 3)
        if self.title:
            draw.text((MARGIN, MARGIN), shorten(self.title, large, self.width - 2 * MARGIN), INK, large)
        y = self.top - 2 * line_height(face) - 6
        draw.text((MARGIN, y), "person", FAINT, face)
        for modality in dict.fromkeys(column.modality for column in self.plan):
            indices = [i for i, column in enumerate(self.plan) if column.modality is modality]
            left, right = self.column_x(indices[0]), self.column_x(indices[-1]) + self.cell_width
            draw.text((left, y), shorten(TITLES[modality], face, right - left), STRIPES[modality], face)
            draw.rectangle((left, self.top - 5, right - 1, self.top - 3), STRIPES[modality])
        for index, column in enumerate(self.plan):
            if column.shot == 0 and column.camera_id is not None:
                name = column.camera_id
                for worded in (f"camera {name}", f"cam {name}", name):
                    if face.getlength(worded) <= self.cell_width:
                        break
                x = self.column_x(index)
                draw.text((x, y + line_height(face)), shorten(worded, face, self.cell_width), FAINT, face)
        if self.width > self.caption_x:
            draw.text((self.caption_x, y), TITLES[Modality.TEXT], STRIPES[Modality.TEXT], face)
            left, right = self.caption_x, self.caption_x + CAPTION_WIDTH
            draw.rectangle((left, self.top - 5, right - 1, self.top - 3), STRIPES[Modality.TEXT])
