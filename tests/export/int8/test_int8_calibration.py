"""What INT8 asks of its images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.crops import IMAGE_MODALITIES, Crops
from export.int8.calibration import check_calibration
from reid.errors import UserError
from reid.modality import Modality
from reid.sample import Sample, Split


def crops(**counts: int) -> Crops:
    samples = [
        Sample(f"{name}{i}", str(i), Modality(name), Split.TRAIN, image=Path("x.png"))
        for name, count in counts.items()
        for i in range(count)
    ]
    return Crops(np.zeros((len(samples), 4, 2, 3), np.uint8), tuple(samples), "people")


@pytest.mark.parametrize("none", [None, crops()])
def test_without_images_there_is_no_int8(none: Crops | None) -> None:
    with pytest.raises(UserError, match=r"^int8 needs images .* --data$"):
        check_calibration(none, IMAGE_MODALITIES)


def test_a_modality_without_images_is_named() -> None:
    (warning,) = check_calibration(crops(rgb=8, sketch=8), tuple(Modality))
    assert "no ir images" in warning
    assert "people" in warning


def test_few_images_of_a_modality_are_counted() -> None:
    one, two = check_calibration(crops(rgb=1, ir=3, sketch=8), IMAGE_MODALITIES)
    assert "only 1 rgb image to" in one
    assert "only 3 ir images to" in two


def test_a_modality_that_the_student_does_not_answer_is_not_missed() -> None:
    assert check_calibration(crops(rgb=8), [Modality.RGB, Modality.TEXT]) == []
