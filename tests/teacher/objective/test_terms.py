"""Every term of the objective against a literal loop over its formula, and what must or must not change its value."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from teacher.objective.centres import centres
from teacher.objective.identity import identity
from teacher.objective.infonce import infonce
from teacher.objective.sdm import sdm
from teacher.objective.triplet import triplet

Floats = NDArray[np.float64]
Term = Callable[[Tensor, Tensor, Tensor], Tensor]

COMPARING: dict[str, Term] = {
    "triplet": lambda e, p, m: triplet(e, p),
    "soft triplet": lambda e, p, m: triplet(e, p, None),
    "sdm": sdm,
    "sdm within": lambda e, p, m: sdm(e, p, m, within=True),
    "infonce": infonce,
    "infonce within": lambda e, p, m: infonce(e, p, m, within=True),
    "centres": centres,
}
ALL: dict[str, Term] = {"identity": lambda e, p, m: identity(e, p), **COMPARING}
TWO_EACH = ([0, 0, 1, 1, 0, 0, 1, 1], [0, 0, 0, 0, 1, 1, 1, 1])
"""Two people, two samples of each in each of two modalities."""


@dataclass(frozen=True)
class Batch:
    """Embeddings float64 [N, D], people and modality codes."""

    embeddings: Floats
    people: list[int]
    modalities: list[int]

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        return torch.from_numpy(self.embeddings), torch.tensor(self.people), torch.tensor(self.modalities)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """Few people and modalities, so that some are missing, alone, or seen in one modality only; some duplicates."""
    rows = draw(st.lists(st.tuples(st.integers(0, 4), st.sampled_from([0, 1, 3])), min_size=1, max_size=10))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    embeddings = rng.standard_normal((len(rows), 6)) * rng.uniform(0.1, 10, (len(rows), 1))
    if draw(st.booleans()):
        embeddings = embeddings[rng.integers(0, len(rows), len(rows))]
    return Batch(embeddings, [person for person, _ in rows], [modality for _, modality in rows])


def mean(values: list[float]) -> float:
    """The mean; 0 of nothing."""
    return sum(values) / len(values) if values else 0.0


def unit_rows(embeddings: Floats) -> list[Floats]:
    return [row / math.sqrt(sum(x * x for x in row)) for row in embeddings]


def log_softmax(values: list[float]) -> list[float]:
    total = sum(math.exp(value - max(values)) for value in values)
    return [value - max(values) - math.log(total) for value in values]


def literal_identity(logits: Floats, people: list[int], smoothing: float) -> float:
    losses = []
    for row, person in zip(logits, people, strict=True):
        log_p = log_softmax(list(row))
        targets = [(1 - smoothing) * (k == person) + smoothing / len(row) for k in range(len(row))]
        losses.append(-sum(q * lp for q, lp in zip(targets, log_p, strict=True)))
    return mean(losses)


def literal_triplet(batch: Batch, margin: float | None) -> float:
    unit, losses = unit_rows(batch.embeddings), []
    for i, person in enumerate(batch.people):
        to = {j: float(np.linalg.norm(unit[i] - unit[j])) for j in range(len(unit)) if j != i}
        positives = [d for j, d in to.items() if batch.people[j] == person]
        negatives = [d for j, d in to.items() if batch.people[j] != person]
        if positives and negatives:
            gap = max(positives) - min(negatives)
            losses.append(math.log(1 + math.exp(gap)) if margin is None else max(0.0, margin + gap))
    return mean(losses)


def literal_pairs(batch: Batch, temperature: float, within: bool, loss: Callable[..., float], halved: bool) -> float:
    """A loss of (log p, is positive) of each sample, over both directions of all pairs of modalities."""
    unit, codes = unit_rows(batch.embeddings), sorted(set(batch.modalities))
    pairs = [(a, b) for a in codes for b in codes if a < b or (within and a == b)]
    per_pair = []
    for one, other in pairs:
        per_direction = []
        for start, goal in ((one, other), (other, one)):
            losses = []
            for i in [i for i, modality in enumerate(batch.modalities) if modality == start]:
                found = [j for j, modality in enumerate(batch.modalities) if modality == goal and j != i]
                same = [batch.people[j] == batch.people[i] for j in found]
                if any(same):
                    log_p = log_softmax([float(unit[i] @ unit[j]) / temperature for j in found])
                    losses.append(loss(log_p, same))
            if losses:
                per_direction.append(mean(losses))
        if per_direction:
            per_pair.append(mean(per_direction) if halved else sum(per_direction))
    return mean(per_pair)


def divergence(log_p: list[float], same: list[bool]) -> float:
    q = [is_same / sum(same) for is_same in same]
    return sum(math.exp(lp) * (lp - math.log(qj + 1e-8)) for lp, qj in zip(log_p, q, strict=True))


def cross_entropy(log_p: list[float], same: list[bool]) -> float:
    return mean([-lp for lp, is_same in zip(log_p, same, strict=True) if is_same])


def literal_centres(batch: Batch) -> float:
    unit, codes = unit_rows(batch.embeddings), sorted(set(batch.modalities))
    per_pair = []
    for one, other in [(a, b) for a in codes for b in codes if a < b]:
        distances = []
        for person in set(batch.people):
            clouds = [
                [unit[i] for i in range(len(unit)) if (batch.people[i], batch.modalities[i]) == (person, modality)]
                for modality in (one, other)
            ]
            if all(clouds):
                a, b = (sum(cloud) / len(cloud) for cloud in clouds)
                distances.append(float(((a - b) ** 2).sum()))
        if distances:
            per_pair.append(mean(distances))
    return mean(per_pair)


@settings(max_examples=30, deadline=None)
@given(batch=batches(), smoothing=st.sampled_from([0.0, 0.1, 0.6]))
def test_identity_is_the_smoothed_cross_entropy(batch: Batch, smoothing: float) -> None:
    logits, people, _ = batch.tensors()
    assert float(identity(logits, people, smoothing)) == pytest.approx(
        literal_identity(batch.embeddings, batch.people, smoothing), abs=1e-9
    )


@settings(max_examples=60, deadline=None)
@given(batch=batches(), margin=st.sampled_from([0.3, 0.0, 1.5, None]))
def test_triplet_is_the_hardest_positive_against_the_hardest_negative(batch: Batch, margin: float | None) -> None:
    embeddings, people, _ = batch.tensors()
    # A distance of 0 counts as 1e-6.
    assert float(triplet(embeddings, people, margin)) == pytest.approx(literal_triplet(batch, margin), abs=3e-6)


@settings(max_examples=60, deadline=None)
@given(batch=batches(), temperature=st.sampled_from([0.05, 0.7]), within=st.booleans())
def test_sdm_is_the_divergence_from_the_true_matches(batch: Batch, temperature: float, within: bool) -> None:
    expected = literal_pairs(batch, temperature, within, divergence, halved=False)
    assert float(sdm(*batch.tensors(), temperature, within=within)) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(batch=batches(), temperature=st.sampled_from([0.05, 0.7]), within=st.booleans())
def test_infonce_is_the_mean_over_all_positives(batch: Batch, temperature: float, within: bool) -> None:
    expected = literal_pairs(batch, temperature, within, cross_entropy, halved=True)
    assert float(infonce(*batch.tensors(), temperature, within=within)) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(batch=batches())
def test_centres_are_compared_for_people_seen_in_both_modalities(batch: Batch) -> None:
    assert float(centres(*batch.tensors())) == pytest.approx(literal_centres(batch), abs=1e-9)


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=15, deadline=None)
@given(batch=batches(), seed=st.integers(0, 2**32 - 1))
def test_the_order_of_the_batch_does_not_matter(name: str, batch: Batch, seed: int) -> None:
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(batch.people)))
    shuffled = ALL[name](*(column[order] for column in batch.tensors()))
    assert float(shuffled) == pytest.approx(float(ALL[name](*batch.tensors())), abs=3e-6)


@pytest.mark.parametrize("name", COMPARING)
@settings(max_examples=15, deadline=None)
@given(batch=batches(), seed=st.integers(0, 2**32 - 1))
def test_the_lengths_of_the_embeddings_do_not_matter(name: str, batch: Batch, seed: int) -> None:
    embeddings, people, modalities = batch.tensors()
    lengths = torch.from_numpy(np.random.default_rng(seed).uniform(0.01, 100, (len(people), 1)))
    scaled = COMPARING[name](embeddings * lengths, people, modalities)
    assert float(scaled) == pytest.approx(float(COMPARING[name](embeddings, people, modalities)), abs=3e-6)


@pytest.mark.parametrize("name", COMPARING)
@settings(max_examples=15, deadline=None)
@given(batch=batches(), codes=st.permutations(range(4)), names=st.permutations(range(5)))
def test_codes_are_only_names(name: str, batch: Batch, codes: list[int], names: list[int]) -> None:
    embeddings, people, modalities = batch.tensors()
    renamed = COMPARING[name](embeddings, torch.tensor(names)[people], torch.tensor(codes)[modalities])
    assert float(renamed) == pytest.approx(float(COMPARING[name](embeddings, people, modalities)), abs=1e-9)


@pytest.mark.parametrize("name", COMPARING)
@pytest.mark.parametrize(
    ("people", "modalities"),
    [TWO_EACH, ([0, 0, 1, 2, 1, 0, 3], [0, 0, 0, 0, 1, 1, 2]), ([0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2])],
)
def test_gradients_are_those_of_finite_differences(name: str, people: list[int], modalities: list[int]) -> None:
    embeddings = torch.randn(len(people), 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    labels = torch.tensor(people), torch.tensor(modalities)
    assert torch.autograd.gradcheck(lambda e: COMPARING[name](e, *labels), embeddings.requires_grad_(), fast_mode=True)


@pytest.mark.parametrize("name", COMPARING)
@pytest.mark.parametrize("alike", [[0, 1], [0, 2], [0, 4], [3, 4], list(range(8))])
def test_gradients_are_finite_where_embeddings_are_identical(name: str, alike: list[int]) -> None:
    """Of one person in one modality, of two people, of one person in two modalities, of both; and all of them."""
    embeddings = torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
    embeddings[alike] = embeddings[alike[0]].clone()
    embeddings.requires_grad_()
    value = COMPARING[name](embeddings, *map(torch.tensor, TWO_EACH))
    value.backward()
    assert torch.isfinite(value)
    assert embeddings.grad is not None
    assert torch.isfinite(embeddings.grad).all()


NOBODY_TWICE = ([0, 1, 2, 3], [0, 0, 1, 1])
ONE_MODALITY_PER_PERSON = ([0, 0, 1, 1], [0, 0, 1, 1])
ONE_MODALITY = ([0, 0, 1, 1], [2, 2, 2, 2])
ONE_PERSON = ([0, 0, 0, 0], [0, 0, 1, 1])
ONE_SAMPLE = ([0], [0])


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        *((name, NOBODY_TWICE) for name in COMPARING),
        *((name, ONE_SAMPLE) for name in COMPARING),
        *(
            (name, labels)
            for name in ("sdm", "infonce", "centres")
            for labels in (ONE_MODALITY_PER_PERSON, ONE_MODALITY)
        ),
        *((name, ONE_PERSON) for name in ("triplet", "soft triplet")),
    ],
)
def test_nothing_to_compare_is_0_with_gradient_0(name: str, labels: tuple[list[int], list[int]]) -> None:
    people, modalities = map(torch.tensor, labels)
    embeddings = torch.randn(len(people), 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    value = COMPARING[name](embeddings, people, modalities)
    value.backward()
    assert value.item() == 0
    assert embeddings.grad is not None
    assert torch.equal(embeddings.grad, torch.zeros_like(embeddings))


@pytest.mark.parametrize("modality", [0, 1])
def test_a_modality_in_which_nobody_has_a_match_leaves_the_others_as_they_are(modality: int) -> None:
    """Strangers in a third modality form pairs without a positive, which must not dilute the mean."""
    rng = torch.Generator().manual_seed(0)
    embeddings, strangers = torch.randn(8, 6, generator=rng), torch.randn(3, 6, generator=rng)
    people, modalities = map(torch.tensor, TWO_EACH)
    codes = torch.where(modalities == modality, 7, modalities)
    more = torch.cat([embeddings, strangers]), torch.cat([people, torch.tensor([5, 6, 7])])
    for term in (sdm, infonce, centres):
        found = float(term(*more, torch.cat([codes, torch.full((3,), 3)])))
        assert found == pytest.approx(float(term(embeddings, people, modalities)), rel=1e-5)


def placed(axes: list[int]) -> Tensor:
    """Samples on the given axes of the space; two on one axis have cosine 1, else 0."""
    return torch.eye(8)[axes]


BY_PERSON = placed([0, 0, 1, 1, 0, 0, 1, 1])
BY_DIAGONAL = placed([0, 1, 2, 3, 0, 1, 2, 3])
BY_OTHER_PERSON = placed([0, 0, 1, 1, 1, 1, 0, 0])


def test_perfect_embeddings_leave_nothing_to_learn() -> None:
    people, modalities = map(torch.tensor, TWO_EACH)
    assert float(triplet(BY_PERSON, people)) == 0
    assert float(triplet(BY_PERSON, people, None)) == pytest.approx(math.log(1 + math.exp(-math.sqrt(2))), abs=1e-5)
    assert float(centres(BY_PERSON, people, modalities)) == pytest.approx(0, abs=1e-6)
    assert float(sdm(BY_PERSON, people, modalities)) == pytest.approx(0, abs=1e-5)
    # Two positives share the probability.
    assert float(infonce(BY_PERSON, people, modalities)) == pytest.approx(math.log(2), abs=1e-5)


def test_perfect_embeddings_that_are_not_exact_in_float32_leave_almost_nothing_to_learn() -> None:
    directions = torch.randn(2, 256, generator=torch.Generator().manual_seed(1))
    people, modalities = map(torch.tensor, TWO_EACH)
    embeddings = directions[people] * torch.linspace(0.5, 30, 8)[:, None]
    between = math.sqrt(2 - 2 * float(torch.nn.functional.cosine_similarity(*directions, dim=0)))
    # The root of float32's rounding: 1e-7 ** 0.5.
    assert float(triplet(embeddings, people, between)) == pytest.approx(0, abs=2e-3)
    assert float(triplet(embeddings, people)) == 0
    assert float(centres(embeddings, people, modalities)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", ["triplet", "soft triplet", "sdm", "infonce", "centres"])
def test_a_space_in_which_people_are_exchanged_is_worse_than_a_perfect_one(name: str) -> None:
    labels = tuple(map(torch.tensor, TWO_EACH))
    assert float(COMPARING[name](BY_OTHER_PERSON, *labels)) > float(COMPARING[name](BY_PERSON, *labels)) + 0.3


@pytest.mark.parametrize("term", [infonce, sdm])
def test_positives_are_all_samples_of_the_person_and_not_the_diagonal(term: Callable[..., Tensor]) -> None:
    """If each sample counted only the one in its own place as its match, the second space would be the better one."""
    people, modalities = map(torch.tensor, TWO_EACH)
    assert float(term(BY_PERSON, people, modalities)) < float(term(BY_DIAGONAL, people, modalities)) - 0.5


def test_opposite_centres_are_4_apart() -> None:
    embeddings = torch.tensor([[2.0, 0.0], [5.0, 0.0], [-1.0, 0.0]])
    assert float(centres(embeddings, torch.tensor([0, 0, 0]), torch.tensor([0, 0, 1]))) == pytest.approx(4)


def test_centres_do_not_ask_who_is_near_whom_within_a_modality() -> None:
    """Spread around the same centre costs nothing."""
    embeddings = torch.tensor([[1.0, 1.0], [1.0, -1.0], [1.0, 2.0], [1.0, -2.0]])
    embeddings[2:] = embeddings[:2].flip(0)
    assert float(centres(embeddings, torch.zeros(4, dtype=torch.int64), torch.tensor([0, 0, 1, 1]))) < 1e-12


def test_equal_logits_score_the_logarithm_of_the_number_of_people() -> None:
    assert float(identity(torch.zeros(3, 50), torch.tensor([0, 7, 49]))) == pytest.approx(math.log(50), rel=1e-6)
