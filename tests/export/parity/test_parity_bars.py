"""Which parity reaches which bar, and what is said of one that does not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from export.parity.bars import BARS, bars_of, judge
from export.parity.measure import Parity, compare
from reid.errors import UserError
from reid.modality import Modality

BASE = np.eye(20, dtype=np.float32)


def at(*cosines: float) -> Parity:
    """20 images, the first of which have these cosines with the reference, the others 1."""
    found: NDArray[np.float32] = BASE.copy()
    for row, cosine in enumerate(cosines):
        found[row] = cosine * BASE[row] + (1 - cosine**2) ** 0.5 * BASE[19]
    return compare(BASE, found, [Modality.RGB] * 20)


@pytest.mark.parametrize(
    ("precision", "good", "bad"),
    [("fp32", 0.999995, 0.99997), ("fp16", 0.9991, 0.9989), ("bf16", 0.991, 0.989)],
)
def test_the_least_cosine_decides_and_its_image_is_named(precision: str, good: float, bad: float) -> None:
    assert judge(at(1, good), None, BARS[precision]) == []
    missed = judge(at(1, bad), None, BARS[precision])[0]
    assert "row 1" in missed
    assert f"at least {BARS[precision].cosine_min:g}" in missed


def test_int8_is_judged_by_the_mean() -> None:
    assert judge(at(0.9), None, BARS["int8"]) == []
    (missed,) = judge(at(*[0.98] * 19), None, BARS["int8"])
    assert missed.startswith("cosine mean is 0.981")


def test_nothing_that_is_not_finite_passes_any_bar() -> None:
    found = BASE.copy()
    found[7, 3] = np.inf
    parity = compare(BASE, found, [Modality.RGB] * 20)
    for bars in BARS.values():
        (missed,) = judge(parity, None, bars)
        assert "1 of 20 embeddings are NaN or infinite, first that of row 7" in missed


def test_cosines_that_are_no_numbers_miss_every_bar() -> None:
    parity = compare(BASE, np.full_like(BASE, np.nan), [Modality.RGB] * 20)
    assert len(judge(parity, None, BARS["fp16"])) == 2
    assert len(judge(parity, None, BARS["int8"])) == 2


def test_bars_read_as_a_sentence_and_unknown_precisions_are_refused() -> None:
    assert str(BARS["fp16"]) == "no value NaN or infinite, cosine min >= 0.999"
    with pytest.raises(UserError, match="fp8"):
        bars_of("fp8")
