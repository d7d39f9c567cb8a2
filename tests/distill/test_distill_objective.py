"""The objective of the distiller: each term is given what it is about and its own settings, weighted by schedule."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from distill.losses.anchors import anchors
from distill.losses.batch_svd import batch_svd
from distill.losses.channel import channel
from distill.losses.cosine import cosine
from distill.losses.crd import crd
from distill.losses.mse import mse
from distill.losses.pcm import pcm
from distill.losses.relation import relation
from distill.losses.rkd import rkd
from distill.losses.sp import sp
from distill.losses.vkd import vkd
from distill.objective import TERMS, LossContext, evaluate_terms
from distill.settings import Objective
from teacher.objective import Neck
from teacher.objective.identity import identity
from teacher.objective.triplet import triplet

SETTINGS: dict[str, dict[str, Any]] = {
    "pcm": {"gamma": 0.7},
    "relation": {"cross": 2.5},
    "id": {"smoothing": 0.3},
    "triplet": {"margin": 0.9},
    "mse": {},
    "cosine": {},
    "rkd": {"distance": 0.4, "angle": 0.6},
    "sp": {},
    "vkd": {},
    "crd": {"temperature": 0.4},
    "channel": {"form": "cosine"},
    "batch_svd": {"rank": 3, "form": "cosine"},
    "anchors": {"temperature": 0.6},
}
"""Of every term, none of them the default."""


def objective(weights: dict[str, float], **more: dict[str, Any]) -> Objective:
    sections = {name: {"weight": weight, **SETTINGS[name], **more.get(name, {})} for name, weight in weights.items()}
    return Objective.model_validate(sections)


def context(anchored: bool = False) -> LossContext:
    """Three people, two samples of each in each of two modalities; 6 coordinates of a teacher 10 wide."""
    random = torch.Generator().manual_seed(0)
    target, noise = (torch.randn(12, 6, generator=random) for _ in range(2))
    return LossContext(
        student=(target + noise).requires_grad_(),
        target=target,
        teacher=functional.normalize(torch.randn(12, 10, generator=random) + 1, dim=1),
        people=torch.arange(12) // 2 % 3,
        modalities=torch.arange(12) // 6,
        variances=torch.tensor([1.0, 0.5, 0.3, 0.2, 0.1, 0.05]),
        neck=Neck(6, 3, scale=8.0),
        features=torch.randn(12, 6, generator=random).requires_grad_(),
        anchors=torch.randn(20, 6, generator=random) if anchored else None,
    )


def by_hand(c: LossContext) -> dict[str, float]:
    """Each loss called with its own settings."""
    assert c.neck is not None
    assert c.features is not None
    values = {
        "pcm": pcm(c.student, c.target, c.variances, 0.7),
        "relation": relation(c.student, c.target, c.modalities, 2.5),
        "id": identity(c.neck.logits(c.features), c.people, 0.3),
        "triplet": triplet(c.student, c.people, 0.9),
        "mse": mse(c.student, c.target),
        "cosine": cosine(c.student, c.target),
        "rkd": rkd(c.student, c.teacher, 0.4, 0.6),
        "sp": sp(c.student, c.teacher),
        "vkd": vkd(c.student, c.target),
        "crd": crd(c.student, c.target, c.people, 0.4),
        "channel": channel(c.student, c.target, "cosine"),
        "batch_svd": batch_svd(c.student, c.target, 3, "cosine"),
        "anchors": anchors(c.student, c.target, c.target if c.anchors is None else c.anchors, 0.6),
    }
    return {name: float(value.detach()) for name, value in values.items()}


def only(name: str, c: LossContext, **settings: Any) -> float:
    _, values = evaluate_terms(objective({name: 1.0}, **{name: settings}), c, 0.0)
    assert list(values) == [name]
    return float(values[name])


def test_every_loss_has_settings_and_the_other_way_round() -> None:
    assert set(TERMS) == set(Objective.model_fields) == set(SETTINGS)
    assert all(field.description for field in Objective.model_fields.values())
    assert Objective().weighted == ()


@pytest.mark.parametrize("anchored", [False, True])
@pytest.mark.parametrize("name", TERMS)
def test_a_term_is_its_loss_with_its_settings(name: str, anchored: bool) -> None:
    c = context(anchored)
    assert only(name, c) == pytest.approx(by_hand(c)[name], rel=1e-6)


def test_terms_are_given_unweighted_and_their_sum_weighted() -> None:
    c = context()
    weights = {name: 0.25 * place for place, name in enumerate(TERMS)}
    left_out = next(iter(TERMS))
    total, values = evaluate_terms(objective(weights), c, 0.5)
    assert left_out not in values
    assert not any(value.requires_grad for value in values.values())
    assert float(total.detach()) == pytest.approx(sum(weights[n] * v for n, v in by_hand(c).items()), rel=1e-6)
    assert isinstance(c.features, Tensor)
    for gradient in torch.autograd.grad(total, [c.student, c.features]):
        assert torch.isfinite(gradient).all()
        assert float(gradient.abs().max()) > 0


@pytest.mark.parametrize(("progress", "factor"), [(0.0, 2.0), (0.5, 2.0), (0.75, 1.0), (1.0, 0.0)])
def test_a_schedule_moves_the_weight(progress: float, factor: float) -> None:
    c, schedule = context(), [[0.5, 2.0], [1.0, 0.0]]
    total, values = evaluate_terms(objective({"pcm": 0.5}, pcm={"schedule": schedule}), c, progress)
    assert float(total.detach()) == pytest.approx(factor * 0.5 * float(values["pcm"]), rel=1e-6)


def test_relations_may_be_the_targets_or_the_whole_teachers_with_and_without_its_mean() -> None:
    c = context()
    modalities, centred = c.modalities, c.teacher - c.teacher.mean(dim=0)
    expected = [float(relation(c.student, t, modalities, 2.5).detach()) for t in (c.target, c.teacher, centred)]
    found = [
        only("relation", c, against="target"),
        only("relation", c, against="teacher", centred=False),
        only("relation", c, against="teacher"),
    ]
    assert found == pytest.approx(expected, rel=1e-6)
    assert len({round(value, 4) for value in found}) == 3


@pytest.mark.parametrize("name", ["rkd", "sp"])
def test_relational_rivals_may_look_at_the_targets(name: str) -> None:
    c = context()
    loss = rkd(c.student, c.target, 0.4, 0.6) if name == "rkd" else sp(c.student, c.target)
    assert only(name, c, against="target") == pytest.approx(float(loss.detach()), rel=1e-6)
    assert only(name, c, against="target") != pytest.approx(only(name, c), rel=1e-3)


def test_classifying_without_a_neck_is_a_mistake_in_the_program() -> None:
    c = context()
    bare = LossContext(c.student, c.target, c.teacher, c.people, c.modalities, c.variances)
    with pytest.raises(AssertionError, match=r"objective\.id needs the neck"):
        evaluate_terms(objective({"id": 1.0}), bare, 0.0)
    assert only("triplet", bare) == pytest.approx(by_hand(c)["triplet"], rel=1e-6)


def test_bfloat16_around_it_changes_nothing() -> None:
    c = context()
    weights = dict.fromkeys(TERMS, 1.0)
    expected, its_values = evaluate_terms(objective(weights), c, 0.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total, values = evaluate_terms(objective(weights), c, 0.0)
    assert all(value.dtype is torch.float32 for value in (total, *values.values()))
    torch.testing.assert_close(total, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(values, its_values, rtol=1e-6, atol=0)
