"""The BNNeck: what it normalises by, what it classifies by, and what of it trains."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from teacher.objective.neck import Neck

EPSILON = 1e-5
"""What batch normalisation adds to the variance (arXiv 1502.03167)."""


def embeddings(n: int = 12, width: int = 5, seed: int = 0) -> Tensor:
    """Away from 0 and of unequal spread, so that normalising them changes them."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.standard_normal((n, width)) * np.arange(1, width + 1) + 3).float()


def in_numpy(values: Tensor) -> NDArray[np.float64]:
    return values.detach().numpy().astype(np.float64)


@pytest.mark.parametrize("scale", [None, 16.0])
def test_the_shift_never_trains_and_the_rest_does(scale: float | None) -> None:
    torch.manual_seed(0)
    neck = Neck(5, 3, scale)
    before = {name: weight.detach().clone() for name, weight in neck.named_parameters()}
    optimiser = torch.optim.SGD(neck.parameters(), lr=0.5)
    for step in range(4):
        optimiser.zero_grad()
        features = neck(embeddings(seed=step))
        functional.cross_entropy(neck.logits(features), torch.arange(12) % 3).backward()
        optimiser.step()
    after = dict(neck.named_parameters())
    assert {name for name, weight in after.items() if not torch.equal(weight, before[name])} == {
        "norm.weight",
        "classifier.weight",
    }
    assert torch.equal(after["norm.bias"], torch.zeros(5))


def test_training_normalises_by_the_batch() -> None:
    neck, batch = Neck(5, 3), embeddings()
    with torch.no_grad():
        neck.norm.weight.copy_(torch.linspace(0.5, 2, 5))
    rows = in_numpy(batch)
    expected = (rows - rows.mean(axis=0)) / np.sqrt(rows.var(axis=0) + EPSILON) * np.linspace(0.5, 2, 5)
    np.testing.assert_allclose(in_numpy(neck(batch)), expected, atol=1e-5)


def test_evaluation_normalises_by_what_training_saw() -> None:
    neck, seen = Neck(5, 3), [in_numpy(embeddings(seed=seed)) for seed in range(3)]
    mean, variance = np.zeros(5), np.ones(5)
    for rows in seen:
        neck(torch.from_numpy(rows).float())
        mean = 0.9 * mean + 0.1 * rows.mean(axis=0)
        variance = 0.9 * variance + 0.1 * rows.var(axis=0, ddof=1)
    neck.eval()
    batch = embeddings(seed=9)
    expected = (in_numpy(batch) - mean) / np.sqrt(variance + EPSILON)
    np.testing.assert_allclose(in_numpy(neck(batch)), expected, atol=1e-5)
    # Nor does what is evaluated leave a trace, and one sample is enough.
    np.testing.assert_allclose(in_numpy(neck(batch[4:5])), expected[4:5], atol=1e-5)


def test_logits_are_products_with_the_classes() -> None:
    neck, features = Neck(5, 3), embeddings()
    with torch.no_grad():
        neck.classifier.weight.copy_(embeddings(3, seed=1))
    classes = in_numpy(neck.classifier.weight)
    expected = [[sum(f * c for f, c in zip(row, one, strict=True)) for one in classes] for row in in_numpy(features)]
    np.testing.assert_allclose(in_numpy(neck.logits(features)), expected, rtol=1e-5)


def test_logits_with_a_scale_are_cosines_times_it() -> None:
    torch.manual_seed(0)
    neck, features = Neck(5, 3, scale=16), embeddings()
    classes = in_numpy(neck.classifier.weight)
    expected = [
        [16 * float(row @ one) / (np.linalg.norm(row) * np.linalg.norm(one)) for one in classes]
        for row in in_numpy(features)
    ]
    found = in_numpy(neck.logits(features))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(in_numpy(neck.logits(features * 7)), found, atol=1e-5)


def test_an_untrained_classifier_knows_nothing() -> None:
    torch.manual_seed(0)
    neck, batch = Neck(16, 40), embeddings(80, 16)
    loss = functional.cross_entropy(neck.logits(neck(batch)), torch.arange(80) % 40)
    assert float(loss.detach()) == pytest.approx(math.log(40), abs=0.02)
