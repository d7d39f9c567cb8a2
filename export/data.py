"""Which images a precision is calibrated on and which it is judged by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from export.crops import IMAGE_MODALITIES, Crops, read_crops, synthetic_crops
from export.source import Source
from reid.dataset import Dataset
from reid.datasets import open_dataset
from reid.errors import UserError
from reid.matrix import TESTED
from reid.sample import Split

Say = Callable[[str], None]
_CHECK_SEED = 1


@dataclass(frozen=True)
class Images:
    """Crops for an export.

    Attributes:
        calibration: what ranges are measured on: of training people.
        check: what parity is measured on: of test people.
        dataset: for the retrieval before and after; None: synthetic people stand in, and nothing is retrieved.
    """

    calibration: Crops
    check: Crops
    dataset: Dataset | None

    @property
    def real(self) -> bool:
        """Whether they are the user's, or those that the student was distilled on."""
        return self.dataset is not None


def choose_images(
    source: Source, dataset: Dataset | None, spec: str, *, calibration: int, check: int, seed: int = 0, say: Say = print
) -> Images:
    """Images of a data set, as evenly over modalities and people as it allows, or of synthetic people.

    Args:
        source: the student.
        dataset, spec: the user's data and what it is called; None: what the student was distilled on, if it is still
            there, else synthetic people, which is said.
        calibration, check: how many of each modality.
        seed: which images.
        say: prints a line.

    Raises:
        UserError: the data set has no images of people to calibrate on or to check on, or one does not decode.
    """
    if dataset is None:
        spec = str(source.manifest.details.get("dataset") or "")
        dataset = _found(spec, say)
    if dataset is None:
        return Images(
            synthetic_crops(source.preprocessing, calibration, seed),
            synthetic_crops(source.preprocessing, check, seed + _CHECK_SEED),
            None,
        )
    taught = _first(dataset, (Split.TRAIN,), (Split.VAL,), tuple(Split))
    tested = _first(dataset, TESTED, (Split.VAL,), tuple(Split))
    fit = source.preprocessing
    images = Images(
        read_crops(dataset, fit, calibration, *taught, seed=seed, origin=f"{spec} ({', '.join(taught)})"),
        read_crops(dataset, fit, check, *tested, seed=seed, origin=f"{spec} ({', '.join(tested)})"),
        dataset,
    )
    missing = [str(m) for m in IMAGE_MODALITIES if m not in images.check.modalities]
    if missing:
        say(f"warning: {images.check.origin} has no {' and no '.join(missing)} images to check on")
    return images


def _found(spec: str, say: Say) -> Dataset | None:
    """The data that a student was distilled on, if it is still there."""
    if spec:
        try:
            dataset = open_dataset(spec)
        except UserError as error:
            say(f"the student was distilled on {spec}, which does not open ({error})")
        else:
            say(f"taking the data that the student was distilled on, {spec}")
            return dataset
    say("checking on synthetic people; name your own images with --data")
    return None


def _first(dataset: Dataset, *choices: tuple[Split, ...]) -> tuple[Split, ...]:
    """The first of these groups of splits that has images."""
    for splits in choices:
        if dataset.select(*splits, modalities=IMAGE_MODALITIES):
            return splits
    raise UserError(f"{dataset.root}: has no images; name a data set that has some with --data")
