"""Lists of images and people."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import pytest

from reid.datasets.lists import Entry, people_of, read_entries, read_ids

PERSON = re.compile(r"_(\d+)\.")


def entries(*pairs: tuple[str, int]) -> list[Entry]:
    return [Entry(PurePosixPath(path), label) for path, label in pairs]


@pytest.mark.parametrize(
    ("pairs", "people"),
    [
        ([("v/a_7.bmp", 0), ("t/b_7.bmp", 0), ("v/a_12.bmp", 1)], {0: "0007", 1: "0012"}),
        # Two labels, one number: the names would merge two people.
        ([("v/a_7.bmp", 0), ("v/b_7.bmp", 1)], {0: "train-0", 1: "train-1"}),
        # One label, two numbers: the names would split a person.
        ([("v/a_7.bmp", 0), ("v/a_8.bmp", 0), ("v/a_9.bmp", 1)], {0: "train-0", 1: "train-1"}),
        # Both, and as many numbers as labels.
        ([("v/a_7.bmp", 0), ("v/a_8.bmp", 0), ("v/a_8.bmp", 1)], {0: "train-0", 1: "train-1"}),
        # A name without a number.
        ([("v/a_7.bmp", 0), ("v/b.bmp", 1)], {0: "train-0", 1: "train-1"}),
        # The number of a folder is not the number of a name.
        ([("v_5.x/a_7.bmp", 0)], {0: "0007"}),
    ],
)
def test_names_give_the_people_only_where_they_agree_with_the_labels(
    pairs: list[tuple[str, int]], people: dict[int, str]
) -> None:
    assert people_of(entries(*pairs), PERSON, 4, "train-") == people


def test_paths_of_other_systems_and_with_spaces(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "c.jpg").write_bytes(b"")
    (tmp_path / "list.txt").write_text("\ufeffa b\\c.jpg\t3\r\n/a b/d.jpg 14 \r\n\r\n", encoding="utf-8")
    assert read_entries(tmp_path / "list.txt", tmp_path) == entries(("a b/c.jpg", 3), ("a b/d.jpg", 14))


def test_ids_are_ascending_numbers_each_once(tmp_path: Path) -> None:
    (tmp_path / "test_id.txt").write_text(" 10,0002, 9,10\n")
    assert read_ids(tmp_path, "test_id") == [2, 9, 10]
