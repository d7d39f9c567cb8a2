"""A picture of answers: queries at the left, the crops of their candidates beside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from PIL import Image

from edge_runtime.gallery import UNKNOWN, Row
from edge_runtime.images import read_image
from edge_runtime.search import Answer, Candidate
from reid.errors import UserError
from reid.pictures import RankedEntry, RankRow, rank_list


class Pictured(Protocol):
    """What a picture needs of a gallery."""

    def rows(self, ids: Sequence[int], *, missing_ok: bool = ...) -> list[Row]:
        """The rows of these ids, with their crops if it has any."""


def draw_answers(
    gallery: Pictured,
    names: Sequence[str],
    shown: Sequence[Image.Image | str],
    answers: Sequence[Answer],
    threshold: float | None,
    *,
    top: int = 10,
    title: str = "",
    height: int = 160,
) -> Image.Image:
    """Queries and the best row of each candidate, whose crop is shown if the gallery has it.

    Args:
        gallery: that answered. names: [q] of the queries. shown: [q] their images or sentences.
        answers: [q]. top: candidates at most.
        threshold: a candidate that reaches it has a green frame and a tick, one below it a red frame and a cross; with
            None all frames are grey.
        title: first line. height: of a crop, pixels.

    Returns:
        An RGB image.
    """
    rows = [
        RankRow(
            picture,
            tuple(_entry(gallery, candidate, threshold) for candidate in answer.candidates[:top]),
            f"{_name(answer)} {_short(name) if not isinstance(picture, str) else ''}".strip(),
        )
        for name, picture, answer in zip(names, shown, answers, strict=True)
    ]
    said = "" if threshold is None else f", tick: cosine of at least {threshold:g}"
    return rank_list(rows, title=f"{title}{said}", top=top, height=height)


def _entry(gallery: Pictured, candidate: Candidate, threshold: float | None) -> RankedEntry:
    hit = candidate.hits[0]
    label = " ".join([candidate.person_id or UNKNOWN, *([f"· {hit.camera_id}"] if hit.camera_id else [])])
    accepted = None if threshold is None else candidate.score >= threshold
    return RankedEntry(_crop(gallery, candidate.row_id), accepted, candidate.score, label)


def _crop(gallery: Pictured, row_id: int) -> Image.Image | None:
    """The row's picture; None if it has none, it is damaged, or the row was deleted meanwhile."""
    try:
        found = gallery.rows([row_id], missing_ok=True)
        if not found or found[0].crop is None:
            return None
        return read_image(found[0].crop, name=f"crop of row {row_id}")
    except UserError:
        return None


def _name(answer: Answer) -> str:
    if answer.score is None:
        return f"{UNKNOWN}: nobody"
    return answer.person_id or UNKNOWN


def _short(name: str) -> str:
    return name.rpartition("/")[2]
