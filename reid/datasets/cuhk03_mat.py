"""The MATLAB files of CUHK03: the images in cuhk-03.mat and the split in cuhk03_new_protocol_config_*.mat."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from reid.datasets.lists import load_mat
from reid.errors import UserError
from reid.extras import require
from reid.progress import progress_bar
from reid.sample import Split

MAT = "cuhk-03.mat"
CONFIG = "cuhk03_new_protocol_config_{boxes}.mat"
VIEW_IMAGES = 5
"""Each person has places for five images of the first view, then five of the second."""


def extract(mat: Path, boxes: str) -> Path:
    """The folder `images_<boxes>` beside `mat` with its images as `1_001_1_01.png`, written if it is not there yet.

    The name says camera pair, person, view and image, all from 1. The folder appears whole or not at all.

    Raises:
        UserError: h5py is not installed, or the file is not cuhk-03.mat.
    """
    target = mat.parent / f"images_{boxes}"
    if target.is_dir():
        return target
    require("data", f"reading {mat}", "h5py")
    import h5py

    partial = target.with_name(target.name + ".partial")
    if partial.exists():
        shutil.rmtree(partial)
    try:
        partial.mkdir()
        with h5py.File(mat, "r") as file:
            _write_images(file, boxes, partial)
        partial.rename(target)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise UserError(f"{mat}: cannot extract its '{boxes}' images ({error}); is it the published {MAT}?") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _write_images(file: Any, boxes: str, folder: Path) -> None:
    """Write all images of `file[boxes]`, a 5 x 1 cell of camera pairs, each an n x 10 cell of [H, W, 3] uint8 images.

    HDF5 shows MATLAB arrays transposed: [1, 5] references to [10, n] references to [3, W, H]. A place without an image
    holds an empty array, which HDF5 shows with fewer than three axes.
    """
    pairs = [file[reference][()] for reference in file[boxes][0]]
    with progress_bar(what=f"extracting {boxes}", unit="places", total=sum(pair.size for pair in pairs)) as progress:
        for pair_number, places in enumerate(pairs, start=1):
            for place, references in enumerate(places, start=1):
                view = 1 if place <= VIEW_IMAGES else 2
                for person, reference in enumerate(references, start=1):
                    progress.update()
                    pixels = file[reference][()]
                    if pixels.ndim == 3:
                        name = f"{pair_number}_{person:03d}_{view}_{place:02d}.png"
                        Image.fromarray(np.ascontiguousarray(pixels.T)).save(folder / name)


def read_split(config: Path) -> dict[Split, list[str]]:
    """The image names of each split out of a protocol file.

    It holds `filelist` (names), `labels` (a person's number for each) and `train_idx`, `query_idx`, `gallery_idx`
    (places in filelist, from 1).

    Raises:
        UserError: a variable is missing or does not fit, or a label stands for two people.
    """
    variables = load_mat(config)
    try:
        names = [str(cell.item()) for cell in variables["filelist"].ravel()]
        labels = [int(label) for label in variables["labels"].ravel()]
        places = {
            split: [int(place) - 1 for place in variables[key].ravel()]
            for split, key in (
                (Split.TRAIN, "train_idx"),
                (Split.QUERY, "query_idx"),
                (Split.GALLERY, "gallery_idx"),
            )
        }
        if min(min(of_split) for of_split in places.values()) < 0:
            raise ValueError("a place below 1")
        people = {(label, name.rsplit("_", 2)[0]) for label, name in zip(labels, names, strict=True)}
        if len(people) != len(dict(people)) or len(people) != len({person for _, person in people}):
            raise ValueError("labels and file names disagree about who is who")
        return {split: [names[place] for place in of_split] for split, of_split in places.items()}
    except (KeyError, ValueError, IndexError, TypeError, AttributeError) as error:
        raise UserError(
            f"{config}: not a CUHK03 protocol file ({error}); "
            "expected filelist, labels, train_idx, query_idx and gallery_idx"
        ) from error
