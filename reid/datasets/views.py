"""Generated views: an infrared view or a sketch of every photograph, in a folder that mirrors the photographs' own.

The views of `imgs/a/1.jpg` lie in `imgs-ir/a/1.png` and `imgs-sketch/a/1.png`; the file type may differ. `reid data
derive` writes these folders, and the loaders of the Tri- and quad-modal data sets read them. Published sets spell two
of the names differently (`imgs-sketch2` in Tri-CUHK-PEDES, `imgs-IR` in the quad-modal sets of AIO as MLLMEmbed-ReID
reads them); those are read too, and win over a folder of ours beside them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from reid.datasets.folders import IMAGE_SUFFIXES, contents
from reid.errors import UserError
from reid.modality import Modality
from reid.sample import Sample

WRITTEN_SUFFIX = {Modality.IR: "-ir", Modality.SKETCH: "-sketch"}
"""What follows the name of the photographs' folder in the name of the folder that views are written to."""

READ_SUFFIXES = {Modality.IR: ("-IR", "-ir"), Modality.SKETCH: ("-sketch2", "-sketch")}
"""The same for reading, in order of preference."""


@dataclass(frozen=True)
class Views:
    """The views of one modality.

    Attributes:
        samples: one for each photograph that has a view, in the order of the photographs.
        warnings: at most one line: how many photographs have none, the first by name.
    """

    samples: tuple[Sample, ...]
    warnings: tuple[str, ...]


def view_folder(images: Path, modality: Modality) -> Path:
    """The folder that views of the photographs in `images` are written to: `imgs-ir` beside `imgs`."""
    return images.with_name(images.name + WRITTEN_SUFFIX[modality])


def find_views(images: Path, modality: Modality, named: str = "") -> Path | None:
    """The folder with views of the photographs in `images`, or None.

    Args:
        images: the photographs' folder.
        modality: infrared or sketch.
        named: a folder that the user named instead, or one that holds it under its usual name.

    Raises:
        UserError: the folder that the user named does not exist.
    """
    holder = Path(named) if named else images.parent
    if not holder.is_dir():
        raise UserError(f"option {modality}={named}: no such folder; expected {modality} views named as in {images}")
    # Compared with the names as they are spelled, so that ids are equal on file systems that ignore case.
    present = {entry.name for entry in holder.iterdir() if entry.is_dir()}
    names = [images.name + suffix for suffix in READ_SUFFIXES[modality]]
    found = next((holder / name for name in names if name in present), None)
    return holder if found is None and named else found


def require_views(images: Path, modality: Modality, named: str = "") -> Path:
    """As `find_views`, for data sets that cannot do without them.

    Raises:
        UserError: there is no such folder; its possible names are given.
    """
    folder = find_views(images, modality, named)
    if folder is None:
        names = " or ".join(images.name + suffix for suffix in READ_SUFFIXES[modality])
        raise UserError(
            f"{images.parent}: no {modality} views; expected a folder {names} that mirrors {images.name}, found "
            f"{contents(images.parent)}; unpack them there, or make them with 'reid data derive'"
        )
    return folder


def read_views(photos: Sequence[Sample], images: Path, folder: Path, modality: Modality) -> Views:
    """The views in `folder` of photographs that lie in `images`.

    A view has the photograph's person, camera and split, and the photograph's sample_id as its source_id. Its own
    sample_id starts with the folder's name, or with the standard one for a folder that lies elsewhere.

    Raises:
        UserError: none of the photographs has a view there.
    """
    present = _files_in(folder)
    prefix = folder.name if folder.parent.resolve() == images.parent.resolve() else view_folder(images, modality).name
    samples, missing = [], []
    for photo in photos:
        assert photo.image is not None
        name = photo.image.relative_to(images).as_posix()
        found = next((other for other in _spellings(name) if other in present), None)
        if found is None:
            missing.append(name)
            continue
        view_id = f"{prefix}/{found}"
        samples.append(
            Sample(
                view_id,
                photo.person_id,
                modality,
                photo.split,
                photo.camera_id,
                folder / found,
                source_id=photo.sample_id,
            )
        )
    if missing and not samples:
        raise UserError(
            f"{folder}: no {modality} view of any photograph in it; expected {missing[0]} and so on as in {images}, "
            f"found {contents(folder)}"
        )
    warnings = []
    if missing:
        warnings.append(
            f"{folder}: {len(missing):,} of {len(photos):,} photographs have no {modality} view there, the first is "
            f"{missing[0]}; they are no {modality} queries"
        )
    return Views(tuple(samples), tuple(warnings))


def _files_in(folder: Path) -> set[str]:
    """All files below `folder`, relative to it with forward slashes; each folder is listed once."""
    found: set[str] = set()
    for parent, _, files in os.walk(folder):
        relative = Path(parent).relative_to(folder)
        found.update((relative / file).as_posix() for file in files)
    return found


def _spellings(name: str) -> list[str]:
    """`name` itself, then with each of the other image suffixes."""
    path = PurePosixPath(name)
    return [name, *(path.with_suffix(suffix).as_posix() for suffix in sorted(IMAGE_SUFFIXES))]
