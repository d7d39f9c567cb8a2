"""Wrapping and cutting of text."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from reid.pictures.text import MARK, clip_lines, draw_lines, font, line_height, shorten, wrap

WORDS = st.lists(st.text("abcdefgij mW", min_size=1, max_size=25), max_size=12).map(" ".join)


@given(WORDS, st.integers(20, 300))
def test_wrapped_lines_fit_and_lose_nothing(text, width):
    face = font(13)
    lines = wrap(text, face, width)
    assert all(face.getlength(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_words_stay_whole_and_lines_are_full():
    face = font(13)
    text = "a man with a red coat and blue trousers carries a bag"
    lines = wrap(text, face, 120)
    assert " ".join(lines) == text
    for line, following in pairwise(lines):
        assert face.getlength(f"{line} {following.split()[0]}") > 120


def test_shorten_cuts_to_the_width_with_an_ellipsis():
    face = font(13)
    assert shorten("short", face, 200) == "short"
    cut = shorten("a very long name of a person", face, 80)
    assert cut.endswith("…")
    assert face.getlength(cut) <= 80
    assert "a very long name of a person".startswith(cut[:-1])


def test_clipped_lines_say_that_there_was_more():
    face = font(13)
    assert clip_lines(["one", "two"], 2, face, 100) == ["one", "two"]
    assert clip_lines(["one", "two", "three"], 2, face, 100) == ["one", "two …"]


@pytest.mark.parametrize(("marked", "expected"), [({"red"}, True), ({"blue"}, False)])
def test_marked_words_stand_out(marked, expected):
    image = Image.new("RGB", (200, 40), "white")
    below = draw_lines(ImageDraw.Draw(image), (5, 5), ["A Red, coat"], font(14), marked=marked)
    assert below == 5 + line_height(font(14))
    assert (MARK in [colour for _, colour in image.getcolors(100_000)]) is expected
