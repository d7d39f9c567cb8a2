"""Progress bars are for people who wait at a terminal."""

from __future__ import annotations

import io
import itertools
import sys

import pytest

from reid.progress import progress_bar


class Terminal(io.StringIO):
    """Standard error as a terminal has it."""

    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, seconds_per_item: float, **options) -> str:
    """What five items print while a clock runs that gives each so many seconds."""
    clock = itertools.count(0, seconds_per_item / 2)
    monkeypatch.setattr("tqdm.std.time", lambda: next(clock))
    monkeypatch.setattr(sys, "stderr", stream)
    assert list(progress_bar(range(5), what="working", unit="things", **options)) == list(range(5))
    return stream.getvalue()


def test_a_long_wait_at_a_terminal_shows_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = shown(monkeypatch, Terminal(), 5)
    assert "working" in printed
    assert "5/5" in printed


def test_a_short_wait_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, Terminal(), 0.01).strip() == ""


def test_a_log_file_and_a_caller_who_wants_none_get_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, io.StringIO(), 5) == ""
    assert shown(monkeypatch, Terminal(), 5, shown=False) == ""
