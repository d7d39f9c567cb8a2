"""The threshold at a false-accept rate, against counting pairs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from reid.calibration import calibrate
from reid.errors import UserError
from reid.modality import Modality
from reid.protocol import Drop, Sampling, cross_modal, on_validation
from reid.sample import Split
from reid.table import SampleTable


def problem(seed: int, people: int = 12, each: int = 6) -> tuple[SampleTable, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((people, 6))
    rows, vectors = [], []
    for person in range(people):
        for n in range(each):
            split = Split.QUERY if n < 2 else Split.GALLERY
            rows.append((f"{person}/{n}", str(person), Modality.RGB, split, f"c{n % 3}", None))
            vectors.append(centres[person] + 0.7 * rng.standard_normal(6))
    return SampleTable(*(list(column) for column in zip(*rows, strict=True))), np.array(vectors, dtype=np.float32)


PROTOCOL = cross_modal("p", Modality.RGB, Modality.RGB, drop=Drop.SAME_CAMERA)


def pairs(table: SampleTable, embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosines of the genuine and the impostor pairs that count, by loops."""
    unit = embeddings.astype(np.float64) / np.linalg.norm(embeddings, axis=1, keepdims=True)
    genuine, impostor = [], []
    for q in range(len(table)):
        for g in range(len(table)):
            if table.split[q] is Split.QUERY and table.split[g] is Split.GALLERY:
                same = table.person_id[q] == table.person_id[g]
                if not (same and table.camera_id[q] == table.camera_id[g]):
                    (genuine if same else impostor).append(unit[q] @ unit[g])
    return np.array(genuine), np.array(impostor)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.5, 0.1, 0.02]))
def test_the_threshold_keeps_the_rate_and_is_the_lowest_that_does(seed: int, far: float) -> None:
    table, embeddings = problem(seed)
    genuine, impostor = pairs(table, embeddings)
    calibration = calibrate(PROTOCOL, table, embeddings)
    assert calibration.genuine.sum() == genuine.size
    assert calibration.impostor.sum() == impostor.size
    point = calibration.at(far)
    step = 2e-4  # a few bins: rounding of float32 may move a pair into the next one
    assert np.mean(impostor >= point.threshold + step) <= far
    assert np.mean(impostor >= point.threshold - step) >= far - 1.5 / impostor.size
    assert point.far <= far
    assert np.mean(genuine >= point.threshold + step) <= point.tar <= np.mean(genuine >= point.threshold - step)


def test_equal_error_rate_of_separable_and_of_random_scores() -> None:
    table, embeddings = problem(0)
    perfect = np.repeat(np.eye(12), 6, axis=0).astype(np.float32)
    assert calibrate(PROTOCOL, table, perfect).equal_error_rate == 0
    noise = np.random.default_rng(0).standard_normal(embeddings.shape)
    assert calibrate(PROTOCOL, table, noise).equal_error_rate == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize(
    ("far", "message"), [(0.0, "expected a share"), (2.0, "expected a share"), (1e-6, "at least 1000000 pairs")]
)
def test_rates_that_cannot_be_known_are_refused(far: float, message: str) -> None:
    with pytest.raises(UserError, match=message):
        calibrate(PROTOCOL, *problem(0)).at(far)


def test_people_filed_twice_are_noticed() -> None:
    table, embeddings = problem(0)
    with pytest.raises(UserError, match="filed under several ids"):
        calibrate(PROTOCOL, table, np.ones_like(embeddings)).at(0.01)


def test_trials_do_not_repeat_pairs() -> None:
    table, embeddings = problem(0)
    drawn = replace(PROTOCOL, trials=10, sampling=Sampling(2, ("c0", "c1", "c2")))
    one = replace(PROTOCOL, trials=1, sampling=Sampling(2, ("c0", "c1", "c2")))
    ten, single = calibrate(drawn, table, embeddings), calibrate(one, table, embeddings)
    assert ten.impostor.sum() == single.impostor.sum() > 0


def test_validation_people_are_paired_with_themselves_but_not_with_the_same_image() -> None:
    table, embeddings = problem(0)
    val = SampleTable(
        table.sample_id, table.person_id, table.modality, [Split.VAL] * len(table), table.camera_id, table.sample_id
    )
    protocol = on_validation(cross_modal("p", Modality.RGB, Modality.RGB))
    genuine = calibrate(protocol, val, embeddings).genuine
    assert genuine.sum() == 12 * 6 * 5
    with pytest.raises(UserError, match="published list"):
        on_validation(replace(PROTOCOL, galleries=(("a",),)))


def test_pairs_of_only_one_sort_are_refused() -> None:
    table, embeddings = problem(0, people=1)
    with pytest.raises(UserError, match="no pairs of different people"):
        calibrate(PROTOCOL, table, embeddings)


def test_the_plot_shows_something(tmp_path: Path) -> None:
    calibration = calibrate(PROTOCOL, *problem(0))
    calibration.plot(tmp_path / "c.png", [calibration.at(0.1), calibration.at(0.02)])
    image = np.asarray(Image.open(tmp_path / "c.png").convert("RGB"))
    green = (image[..., 1] > 1.2 * image[..., 0]) & (image[..., 1] > 1.2 * image[..., 2])
    red = (image[..., 0] > 1.2 * image[..., 1]) & (image[..., 0] > 1.2 * image[..., 2])
    assert min(green.sum(), red.sum()) > 500  # both distributions are drawn
