"""Finding a data set's folder and the images in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reid.errors import UserError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp"})


def find_folder(root: Path, names: Sequence[str], holds: Sequence[str], title: str) -> Path:
    """`root` itself or the first of its subfolders `names` that holds every entry of `holds`.

    Raises:
        UserError: none does; what `root` holds instead is told.
    """
    for folder in (root, *(root / name for name in names)):
        if all((folder / entry).exists() for entry in holds):
            return folder
    inside = f" (or in {' or '.join(names)} inside it)" if names else ""
    raise UserError(f"{root}: not a {title} folder; expected {', '.join(holds)} in it{inside}, found {contents(root)}")


def contents(folder: Path, most: int = 5) -> str:
    """What `folder` holds in a few words, for error messages."""
    if not folder.is_dir():
        return "a file" if folder.exists() else "nothing"
    names = sorted(entry.name + "/" * entry.is_dir() for entry in folder.iterdir())
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) + more) or "an empty folder"


def image_files(folder: Path) -> list[Path]:
    """The images directly in `folder` by name; hidden files (`._0002_c1.jpg` of macOS) and others are left out.

    Raises:
        UserError: `folder` does not exist.
    """
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{folder}: no such folder; unpack the data set again") from None
    return [e for e in entries if e.suffix.lower() in IMAGE_SUFFIXES and not e.name.startswith(".")]


def sample_id(image: Path, root: Path) -> str:
    """The path of `image` relative to `root` with forward slashes."""
    return image.relative_to(root).as_posix()
