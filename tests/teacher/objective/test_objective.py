"""The weighted sum of the terms: which are computed, on what, how they are weighted, and in which precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from teacher.objective import Neck, TermContext, evaluate_terms
from teacher.objective.centres import centres
from teacher.objective.identity import identity
from teacher.objective.infonce import infonce
from teacher.objective.sdm import sdm
from teacher.objective.triplet import triplet
from teacher.settings import Objective

WEIGHTS = {"id": 0.5, "triplet": 1.5, "sdm": 0.25, "infonce": 2.0, "centres": 3.0}
SETTINGS: dict[str, dict[str, Any]] = {
    "id": {"smoothing": 0.3},
    "triplet": {"margin": 0.9},
    "sdm": {"temperature": 0.4},
    "infonce": {"temperature": 0.7, "within": True},
    "centres": {},
}


def objective(weights: dict[str, float], **more: dict[str, Any]) -> Objective:
    """Terms with these weights, settings that are not the defaults, and whatever else is given by name."""
    sections = {name: {"weight": weight, **SETTINGS[name], **more.get(name, {})} for name, weight in weights.items()}
    return Objective.model_validate(sections)


def context() -> TermContext:
    """Three people, two samples of each in each of two modalities; embeddings and features are different numbers."""
    torch.manual_seed(0)
    embeddings = torch.randn(12, 32).requires_grad_()
    people, modalities = torch.arange(12) // 2 % 3, torch.arange(12) // 6
    return TermContext(embeddings, people, modalities, torch.randn(12, 32), Neck(32, 3, scale=8.0))


def by_hand(c: TermContext) -> dict[str, float]:
    """Each term called with its own settings."""
    values = {
        "id": identity(c.neck.logits(c.features), c.people, 0.3),
        "triplet": triplet(c.embeddings, c.people, 0.9),
        "sdm": sdm(c.embeddings, c.people, c.modalities, 0.4),
        "infonce": infonce(c.embeddings, c.people, c.modalities, 0.7, within=True),
        "centres": centres(c.embeddings, c.people, c.modalities),
    }
    return {name: float(value.detach()) for name, value in values.items()}


def gradient(total: Tensor, c: TermContext) -> Tensor:
    return torch.autograd.grad(total, c.embeddings)[0]


def test_terms_are_given_unweighted_and_their_sum_weighted() -> None:
    c = context()
    expected = by_hand(c)
    total, values = evaluate_terms(objective(WEIGHTS), c, 0.3)
    assert {name: float(value) for name, value in values.items()} == pytest.approx(expected, rel=1e-6)
    assert float(total.detach()) == pytest.approx(
        sum(WEIGHTS[name] * value for name, value in expected.items()), rel=1e-6
    )


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize(("name", "term", "temperature"), [("sdm", sdm, 0.4), ("infonce", infonce, 0.7)])
def test_modalities_are_compared_with_themselves_if_so_set(
    name: str, term: Callable[..., Tensor], temperature: float, within: bool
) -> None:
    c = context()
    _, values = evaluate_terms(objective({name: 1.0}, **{name: {"within": within}}), c, 0.0)
    expected = term(c.embeddings, c.people, c.modalities, temperature, within=within).detach()
    assert float(values[name]) == pytest.approx(float(expected), rel=1e-6)


def test_only_the_sum_carries_a_gradient() -> None:
    c = context()
    total, values = evaluate_terms(objective(WEIGHTS), c, 0.0)
    assert not any(value.requires_grad for value in values.values())
    assert torch.isfinite(gradient(total, c)).all()


def test_the_gradient_is_weighted_too() -> None:
    c = context()
    once, _ = evaluate_terms(objective({"centres": 1.0}), c, 0.0)
    thrice, _ = evaluate_terms(objective({"centres": 3.0}), c, 0.0)
    torch.testing.assert_close(gradient(thrice, c), 3 * gradient(once, c))


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_term_of_weight_0_is_left_out(name: str) -> None:
    c = context()
    expected = {other: value for other, value in by_hand(c).items() if other != name}
    total, values = evaluate_terms(objective({**WEIGHTS, name: 0.0}), c, 0.0)
    assert values.keys() == expected.keys()
    assert float(total.detach()) == pytest.approx(
        sum(WEIGHTS[other] * value for other, value in expected.items()), rel=1e-6
    )


def test_a_term_of_weight_0_is_not_computed() -> None:
    """The classifier knows 3 people and is asked for a fourth: computing the term would raise."""
    c = context()
    c.people[0] = 3
    with pytest.raises(IndexError):
        evaluate_terms(objective({"id": 1.0, "triplet": 1.0}), c, 0.0)
    _, values = evaluate_terms(objective({"id": 0.0, "triplet": 1.0}), c, 0.0)
    assert list(values) == ["triplet"]


@pytest.mark.parametrize(
    ("progress", "factor"), [(0.0, 0.0), (0.2, 0.0), (0.3, 0.5), (0.4, 1.0), (0.7, 2.0), (0.85, 2.5), (1.0, 3.0)]
)
def test_the_schedule_is_interpolated_by_progress(progress: float, factor: float) -> None:
    c, schedule = context(), [[0.2, 0.0], [0.4, 1.0], [1.0, 3.0]]
    total, values = evaluate_terms(objective({"sdm": 0.25, "centres": 3.0}, sdm={"schedule": schedule}), c, progress)
    expected = by_hand(c)
    assert float(values["sdm"]) == pytest.approx(expected["sdm"], rel=1e-6)
    assert float(total.detach()) == pytest.approx(factor * 0.25 * expected["sdm"] + 3 * expected["centres"], rel=1e-6)


def test_bfloat16_around_it_changes_nothing() -> None:
    c = context()
    expected, its_values = evaluate_terms(objective(WEIGHTS), c, 0.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (c.embeddings @ c.embeddings.T).dtype is torch.bfloat16  # what would be computed with
        total, values = evaluate_terms(objective(WEIGHTS), c, 0.0)
    assert total.dtype is torch.float32
    assert all(value.dtype is torch.float32 for value in values.values())
    torch.testing.assert_close(total, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(values, its_values, rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient(total, c), gradient(expected, c), rtol=1e-5, atol=1e-7)
