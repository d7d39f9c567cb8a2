"""The file names that Market-1501 brought into use: `0002_c1s1_000451_03.jpg` is person 0002 seen by camera 1."""

from __future__ import annotations

import re
from pathlib import Path

from reid.datasets.folders import image_files, sample_id
from reid.errors import UserError
from reid.modality import Modality
from reid.sample import Sample, Split

# At the start of the base name: a pattern searched in the whole path finds "c1" in the folder names of some users.
NAME = re.compile(r"(-1|\d+)_c(\d+)")
JUNK = "-1"


def read_folder(folder: Path, root: Path, split: Split) -> tuple[list[Sample], int]:
    """The photographs in `folder`, by name, and the number of junk images (person -1), which are left out.

    Raises:
        UserError: no such folder, no image in it, or a name that is not of this form.
    """
    samples, junk = [], 0
    for image in image_files(folder):
        named = NAME.match(image.name)
        if named is None:
            raise UserError(
                f"{image}: expected a name like 0002_c1s1_000451_03.jpg (person, camera); rename or remove it"
            )
        person, camera = named.groups()
        if person == JUNK:
            junk += 1
            continue
        samples.append(Sample(sample_id(image, root), person, Modality.RGB, split, str(int(camera)), image))
    if not samples:
        raise UserError(f"{folder}: no images in it; expected names like 0002_c1s1_000451_03.jpg")
    return samples, junk
