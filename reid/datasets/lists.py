"""The small text and .mat files in which data sets list their images and people."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from reid.errors import UserError
from reid.extras import require


@dataclass(frozen=True)
class Entry:
    """One line `path label` of a list: an image, relative to a folder the data set knows, and the label given to it."""

    path: PurePosixPath
    label: int


def read_entries(file: Path, images: Path) -> list[Entry]:
    """The lines `path label` of `file`, in order; empty lines are skipped. Paths are relative to `images`.

    Only the first image is looked for: it tells a wrong layout, and `check_dataset` names each image that is missing.

    Raises:
        UserError: no such file, a line that is not of this form, no line at all, or the first image is not there.
    """
    entries = []
    for number, line in enumerate(_read(file).splitlines(), start=1):
        if not line.strip():
            continue
        path, *label = line.strip().rsplit(maxsplit=1)
        if not label or not label[0].isdecimal():
            raise UserError(f"{file}, line {number}: expected 'path label', found '{line.strip()[:80]}'")
        entries.append(Entry(PurePosixPath(path.replace("\\", "/").lstrip("/")), int(label[0])))
    if not entries:
        raise UserError(f"{file}: empty; expected one line 'path label' for each image")
    if not (images / entries[0].path).is_file():
        raise UserError(f"{file}: names {entries[0].path}, which is not in {images}; unpack the images there")
    return entries


def read_ids(folder: Path, name: str) -> list[int]:
    """The person numbers in `folder/name.txt` (separated by commas) or, failing that, in `folder/name.mat` (`id`).

    Returns:
        Ascending, each once.

    Raises:
        UserError: neither file exists, or it holds something else.
    """
    text, mat = folder / f"{name}.txt", folder / f"{name}.mat"
    if text.is_file():
        found = re.split(r"[,\s]+", _read(text).strip(" ,\t\r\n"))
        if not all(number.isdecimal() for number in found):
            raise UserError(f"{text}: expected person numbers separated by commas, found '{' '.join(found)[:80]}'")
        return sorted({int(number) for number in found})
    if mat.is_file():
        values = load_mat(mat).get("id")
        if values is None:
            raise UserError(f"{mat}: expected the person numbers in a variable 'id', which is not there")
        return sorted({int(number) for number in values.ravel()})
    raise UserError(f"{folder}: neither {text.name} nor {mat.name} is there; they come with the data set")


def load_mat(file: Path) -> dict[str, Any]:
    """The variables of a MATLAB file up to version 7.2, as SciPy gives them.

    Raises:
        UserError: SciPy is not installed, or the file cannot be read.
    """
    require("data", f"reading {file}", "scipy")
    from scipy.io import loadmat

    try:
        variables: dict[str, Any] = loadmat(str(file))
    except (OSError, ValueError, TypeError, NotImplementedError) as error:
        raise UserError(f"{file}: not a readable .mat file ({error}); download it again") from error
    return variables


def people_of(entries: Iterable[Entry], pattern: re.Pattern[str], digits: int, otherwise: str) -> dict[int, str]:
    """Label -> person_id for lists whose labels are only 0, 1, ... within one split.

    Lists of RegDB and LLCM count their labels from 0 in train and again in test, so equal labels of two splits are
    different people. The base names carry the person's number in the whole data set; where these agree with the
    labels one to one, that number with `digits` digits is the person_id, and otherwise `otherwise` + label.

    Args:
        entries: all lists of one split.
        pattern: finds the number (group 1) in a base name.
        digits: the number is padded with zeros to this length.
        otherwise: prefix of the fallback, which names the split.
    """
    numbers: dict[int, set[str]] = {}
    for entry in entries:
        found = pattern.search(entry.path.name)
        numbers.setdefault(entry.label, set()).add(found.group(1).zfill(digits) if found else "")
    names = [name for of_label in numbers.values() for name in of_label]
    if "" in names or len(names) != len(numbers) or len(set(names)) != len(names):
        return {label: f"{otherwise}{label}" for label in numbers}
    return {label: next(iter(of_label)) for label, of_label in numbers.items()}


def unnamed_people(person_ids: Iterable[str]) -> tuple[str, ...]:
    """A warning for the user if `people_of` had to fall back for any of `person_ids`; otherwise nothing."""
    if all(person.isdigit() for person in person_ids):
        return ()
    return ("labels and file names disagree about who is who, so people in both train and test cannot be noticed",)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; it comes with the data set") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not a text file ({error.reason}); download it again") from None
