"""Frames, signs and places of a rank list."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reid.errors import UserError
from reid.pictures import RankedEntry, RankRow, rank_list
from reid.pictures.rank_list import BADGE, FRAME, RIGHT, WRONG

COLOURS = [(230, 200, 40), (40, 200, 230), (200, 60, 200), (90, 90, 200), (120, 160, 20)]


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    for number, colour in enumerate(COLOURS):
        Image.new("RGB", (40, 80), colour).save(tmp_path / f"{number}.png")
    return [tmp_path / f"{number}.png" for number in range(len(COLOURS))]


def place(picture: Image.Image, number: int) -> tuple[int, int, int, int]:
    """Where the image of this number lies; the sign covers a corner of it."""
    ys, xs = np.nonzero((np.asarray(picture) == COLOURS[number]).all(axis=-1))
    return xs.min(), ys.min(), xs.max() + 1, ys.max() + 1


def test_right_and_wrong_differ_in_frame_and_in_sign(images):
    entries = tuple(RankedEntry(images[i], i == 2, 1 - i / 10) for i in (1, 2, 3))
    picture = rank_list([RankRow(images[0], entries)], height=80)
    pixels = np.asarray(picture)
    signs = {}
    for i in (1, 2, 3):
        left, top, right, bottom = place(picture, i)
        expected = RIGHT if i == 2 else WRONG
        frame = pixels[top - FRAME : bottom + FRAME, left - FRAME : right + FRAME]
        assert (frame[-FRAME:] == expected).all()
        assert (frame[:, -FRAME:] == expected).all()
        assert (frame[BADGE:, :FRAME] == expected).all()
        signs[i] = (frame[:BADGE, :BADGE] == 255).all(axis=-1)
        assert signs[i].sum() > 20
    assert (signs[1] == signs[3]).all()
    assert (signs[1] != signs[2]).sum() > 20


def test_the_query_is_at_the_left_and_entries_come_by_rank(images):
    entries = tuple(RankedEntry(images[i], False, 0.5) for i in (3, 1, 4, 2))
    picture = rank_list([RankRow(images[0], entries)], height=80)
    lefts = [place(picture, i)[0] for i in (0, 3, 1, 4, 2)]
    assert lefts == sorted(lefts)
    pitch = np.diff(lefts[1:])
    assert (pitch == pitch[0]).all()
    # The query has a frame that is neither right nor wrong.
    left, top, _, _ = place(picture, 0)
    assert tuple(np.asarray(picture)[top + 30, left - 2]) not in (RIGHT, WRONG)


def test_top_cuts_the_answers_and_rows_lie_below_each_other(images):
    entries = tuple(RankedEntry(images[i], True, 0.5) for i in (1, 2))
    picture = rank_list([RankRow(images[0], entries), RankRow(images[3], entries[::-1])], top=1, height=80)
    assert place(picture, 3)[1] >= place(picture, 0)[3] + 2 * FRAME
    assert place(picture, 1)[0] == place(picture, 2)[0]
    assert place(picture, 1)[1] < place(picture, 2)[1]
    wide = rank_list([RankRow(images[0], entries)], top=2, height=80)
    assert wide.width > picture.width


def test_a_sentence_can_ask_and_can_answer(images):
    asked = rank_list([RankRow("a man in a red coat and black shoes", (RankedEntry(images[1], True, 0.9),))], height=80)
    left = place(asked, 1)[0]
    query = np.asarray(asked.convert("L"))[30:100, 20 : left - 40]
    assert (query < 100).sum() > 50
    answered = rank_list([RankRow(images[0], (RankedEntry("a man in a red coat", True, 0.9),))], height=80)
    assert (np.asarray(answered) == RIGHT).all(axis=-1).sum() > 400


def test_score_and_labels_are_written_below(images):
    def below(score: float, label: str) -> np.ndarray:
        picture = rank_list([RankRow(images[0], (RankedEntry(images[1], True, score, label),))], height=80, title="t")
        _, _, right, bottom = place(picture, 1)
        return np.asarray(picture.convert("L"))[bottom + FRAME :, : right + FRAME]

    plain, other = below(0.5, ""), below(0.25, "")
    assert plain.shape == other.shape
    assert (plain != other).any()
    assert below(0.5, "cam 2").shape[0] > plain.shape[0]


def test_the_title_takes_a_line_of_its_own(images):
    row = RankRow(images[0], (RankedEntry(images[1], True, 0.9),))
    plain, titled = rank_list([row], height=80), rank_list([row], height=80, title="sysu-all-single-official: rank-1")
    assert titled.height > plain.height
    shift = place(titled, 0)[1] - place(plain, 0)[1]
    assert shift == titled.height - plain.height


def test_broken_images_and_empty_lists_are_refused(images, tmp_path):
    (tmp_path / "1.png").write_bytes(b"no image")
    row = RankRow(images[0], (RankedEntry(images[1], True, 0.9),))
    with pytest.raises(UserError, match=r"1\.png"):
        rank_list([row], height=80)
    skipped = rank_list([row], height=80, skip_broken=True)
    assert (np.asarray(skipped) == RIGHT).all(axis=-1).any()
    with pytest.raises(UserError, match="no queries"):
        rank_list([])


def test_a_query_without_answers_is_drawn(images):
    picture = rank_list([RankRow(images[0], ())], height=80)
    assert place(picture, 0)[3] <= picture.height
