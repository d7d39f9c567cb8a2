"""Every loss against a literal loop over its formula; what must not change it; and batches that are hardly any."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

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

Floats = NDArray[np.float64]
WIDTH = 5


@dataclass(frozen=True)
class Batch:
    """Outputs and targets float64 [B, 5], people and modality codes, variances [5]."""

    student: Floats
    target: Floats
    people: list[int]
    modalities: list[int]
    variances: Floats

    def __len__(self) -> int:
        return len(self.people)


Loss = Callable[[Tensor, Tensor, Batch], Tensor]
LOSSES: dict[str, Loss] = {
    "pcm": lambda y, z, b: pcm(y, z, torch.from_numpy(b.variances)),
    "pcm whitened": lambda y, z, b: pcm(y, z, torch.from_numpy(b.variances), 1.0),
    "pcm leading": lambda y, z, b: pcm(y, z, torch.from_numpy(b.variances), -0.5),
    "relation": lambda y, z, b: relation(y, z, torch.tensor(b.modalities)),
    "relation across": lambda y, z, b: relation(y, z, torch.tensor(b.modalities), 3.0),
    "relation within": lambda y, z, b: relation(y, z, torch.tensor(b.modalities), 0.0),
    "mse": lambda y, z, b: mse(y, z),
    "cosine": lambda y, z, b: cosine(y, z),
    "rkd": lambda y, z, b: rkd(y, z),
    "rkd distance": lambda y, z, b: rkd(y, z, 2.0, 0.0),
    "sp": lambda y, z, b: sp(y, z),
    "vkd": lambda y, z, b: vkd(y, z),
    "crd": lambda y, z, b: crd(y, z, torch.tensor(b.people), 0.3),
    "channel": lambda y, z, b: channel(y, z),
    "channel cosine": lambda y, z, b: channel(y, z, "cosine"),
    "batch_svd": lambda y, z, b: batch_svd(y, z, 3),
    "batch_svd cosine": lambda y, z, b: batch_svd(y, z, 3, "cosine"),
    "anchors": lambda y, z, b: anchors(y, z, z.flip(0), 0.3),
}


def value(name: str, batch: Batch) -> float:
    return float(LOSSES[name](torch.from_numpy(batch.student), torch.from_numpy(batch.target), batch))


def batch_of(count: int, seed: int, scale: float = 1.0) -> Batch:
    rng = np.random.default_rng(seed)
    spread = np.array([1.0, 0.7, 0.4, 0.2, 0.1])
    target = rng.standard_normal((count, WIDTH)) * spread + rng.standard_normal(WIDTH) * 0.5
    student = scale * (target + rng.standard_normal((count, WIDTH)) * 0.4)
    people, modalities = rng.integers(0, 3, count).tolist(), rng.integers(0, 3, count).tolist()
    return Batch(student, target, people, modalities, spread**2)


batches = st.builds(batch_of, st.integers(1, 8), st.integers(0, 2**32 - 1), st.floats(0.1, 10))


def unit(row: Floats) -> Floats:
    return np.asarray(row / math.sqrt(sum(x * x for x in row)))


def cos(a: Floats, b: Floats) -> float:
    return float(unit(a) @ unit(b))


def huber(x: float) -> float:
    return x * x / 2 if abs(x) < 1 else abs(x) - 0.5


def mean(values: list[float]) -> float:
    """The mean; 0 of nothing."""
    return sum(values) / len(values) if values else 0.0


def log_softmax(values: list[float]) -> list[float]:
    total = sum(math.exp(v - max(values)) for v in values)
    return [v - max(values) - math.log(total) for v in values]


def literal_pcm(b: Batch, gamma: float) -> float:
    weights = [v**-gamma for v in b.variances]
    errors = [
        sum(w * (y - z) ** 2 for w, y, z in zip(weights, *rows, strict=True))
        for rows in zip(b.student, b.target, strict=True)
    ]
    return mean(errors) / sum(w * v for w, v in zip(weights, b.variances, strict=True))


def literal_relation(b: Batch, cross: float) -> float:
    error, size = 0.0, 0.0
    for i, j in permutations(range(len(b)), 2):
        weight = 1.0 if b.modalities[i] == b.modalities[j] else cross
        wanted = cos(b.target[i], b.target[j])
        error += weight * (cos(b.student[i], b.student[j]) - wanted) ** 2
        size += weight * wanted**2
    return error / size if size else 0.0


def literal_mse(b: Batch) -> float:
    return mean([float(((unit(y) - unit(z)) ** 2).sum()) for y, z in zip(b.student, b.target, strict=True)])


def literal_cosine(b: Batch) -> float:
    return mean([1 - cos(y, z) for y, z in zip(b.student, b.target, strict=True)])


def literal_rkd(b: Batch, distance: float, angle: float) -> float:
    pairs, triples = list(permutations(range(len(b)), 2)), list(permutations(range(len(b)), 3))
    lengths = [[float(np.linalg.norm(x[i] - x[j])) for i, j in pairs] for x in (b.student, b.target)]
    relative = [[length / mean(side) for length in side] for side in lengths]
    angles = [[cos(x[i] - x[j], x[k] - x[j]) for i, j, k in triples] for x in (b.student, b.target)]
    parts = [mean([huber(y - t) for y, t in zip(*sides, strict=True)]) for sides in (relative, angles)]
    return distance * parts[0] + angle * parts[1]


def literal_sp(b: Batch) -> float:
    grams = [[unit(np.array([float(a @ c) for c in x])) for a in x] for x in (b.student, b.target)]
    return mean([float(((g - t) ** 2).sum()) for g, t in zip(*grams, strict=True)])


def literal_vkd(b: Batch) -> float:
    errors = []
    for y, z in zip(b.student, b.target, strict=True):
        middle = mean(list(z))
        spread = math.sqrt(mean([(x - middle) ** 2 for x in z]) + 1e-5)
        errors += [huber(a - (x - middle) / spread) for a, x in zip(y, z, strict=True)]
    return mean(errors)


def literal_crd(b: Batch, temperature: float) -> float:
    losses = []
    for one, other in ((b.student, b.target), (b.target, b.student)):
        for i in range(len(b)):
            found = [i] + [j for j in range(len(b)) if b.people[j] != b.people[i]]
            losses.append(-log_softmax([cos(one[i], other[j]) / temperature for j in found])[0])
    return mean(losses)


def literal_channel(b: Batch, form: str) -> float:
    if len(b) == 1:
        return 0.0
    found, wanted = (np.corrcoef(x, rowvar=False) for x in (b.student, b.target))
    if form == "cosine":
        return mean([1 - cos(f, w) for f, w in zip(found, wanted, strict=True)])
    return mean([float((f - w) ** 2) for f, w in zip(found.ravel(), wanted.ravel(), strict=True)])


def literal_batch_svd(b: Batch, rank: int, form: str, signs: Floats | None = None) -> float:
    """By eigenvectors of T^T T, with any signs."""
    _, vectors = np.linalg.eigh(b.target.T @ b.target)
    basis = vectors[:, ::-1][:, : min(rank, len(b))]
    basis = basis * (signs if signs is not None else np.ones(5))[: basis.shape[1]]
    found, wanted = b.student @ basis, b.target @ basis
    if form == "cosine":
        return mean([1 - cos(f, w) for f, w in zip(found, wanted, strict=True)])
    return float(((found - wanted) ** 2).sum() / (wanted**2).sum())


def literal_anchors(b: Batch, temperature: float) -> float:
    losses = []
    for y, z in zip(b.student, b.target, strict=True):
        log_p = log_softmax([cos(y, a) / temperature for a in b.target])
        log_q = log_softmax([cos(z, a) / temperature for a in b.target])
        losses.append(sum(math.exp(q) * (q - p) for p, q in zip(log_p, log_q, strict=True)))
    return mean(losses)


LITERAL: dict[str, Callable[[Batch], float]] = {
    "pcm": lambda b: literal_pcm(b, 0.0),
    "pcm whitened": lambda b: literal_pcm(b, 1.0),
    "pcm leading": lambda b: literal_pcm(b, -0.5),
    "relation": lambda b: literal_relation(b, 1.0),
    "relation across": lambda b: literal_relation(b, 3.0),
    "relation within": lambda b: literal_relation(b, 0.0),
    "mse": literal_mse,
    "cosine": literal_cosine,
    "rkd": lambda b: literal_rkd(b, 1.0, 2.0),
    "rkd distance": lambda b: literal_rkd(b, 2.0, 0.0),
    "sp": literal_sp,
    "vkd": literal_vkd,
    "crd": lambda b: literal_crd(b, 0.3),
    "channel": lambda b: literal_channel(b, "mse"),
    "channel cosine": lambda b: literal_channel(b, "cosine"),
    "batch_svd": lambda b: literal_batch_svd(b, 3, "mse"),
    "batch_svd cosine": lambda b: literal_batch_svd(b, 3, "cosine"),
    "anchors": lambda b: literal_anchors(b, 0.3),
}


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=25, deadline=None)
@given(batch=batches)
def test_a_loss_is_its_formula(name: str, batch: Batch) -> None:
    assert value(name, batch) == pytest.approx(LITERAL[name](batch), rel=1e-6, abs=1e-9)


def changed(batch: Batch, student: Floats, target: Floats, variances: Floats | None = None) -> Batch:
    kept = batch.variances if variances is None else variances
    return Batch(student, target, batch.people, batch.modalities, kept)


def rotation(seed: int, width: int = WIDTH) -> Floats:
    return np.asarray(np.linalg.qr(np.random.default_rng(seed).standard_normal((width, width)))[0])


RELATIONAL = ["relation", "relation across", "relation within", "rkd", "sp"]


@pytest.mark.parametrize("name", RELATIONAL)
@settings(max_examples=20, deadline=None)
@given(batch=batches, seed=st.integers(0, 99), factor=st.floats(0.1, 10))
def test_relations_do_not_know_how_a_side_is_turned_and_stretched(
    name: str, batch: Batch, seed: int, factor: float
) -> None:
    turned = changed(batch, factor * batch.student @ rotation(seed), batch.target @ rotation(seed + 1))
    assert value(name, turned) == pytest.approx(value(name, batch), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", RELATIONAL)
def test_relations_need_no_common_width(name: str) -> None:
    """A teacher padded with zeros is the same teacher."""
    batch = batch_of(6, 0)
    wider = changed(batch, batch.student, np.hstack([batch.target, np.zeros((6, 7))]))
    assert value(name, wider) == pytest.approx(value(name, batch), rel=1e-9)


@settings(max_examples=20, deadline=None)
@given(batch=batches, seed=st.integers(0, 99))
def test_rkd_does_not_know_where_a_side_lies(batch: Batch, seed: int) -> None:
    rng = np.random.default_rng(seed)
    moved = changed(batch, batch.student + rng.standard_normal(WIDTH), batch.target + rng.standard_normal(WIDTH))
    assert value("rkd", moved) == pytest.approx(value("rkd", batch), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", ["mse", "cosine", "crd", "anchors", "batch_svd", "batch_svd cosine"])
@settings(max_examples=20, deadline=None)
@given(batch=batches, seed=st.integers(0, 99))
def test_turning_both_sides_alike_changes_nothing(name: str, batch: Batch, seed: int) -> None:
    both = changed(batch, batch.student @ rotation(seed), batch.target @ rotation(seed))
    assert value(name, both) == pytest.approx(value(name, batch), rel=1e-6, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(batch=batches, factors=st.lists(st.floats(0.2, 5), min_size=WIDTH, max_size=WIDTH))
def test_whitening_does_not_know_the_scale_of_a_component(batch: Batch, factors: list[float]) -> None:
    f = np.array(factors)
    stretched = changed(batch, batch.student * f, batch.target * f, batch.variances * f**2)
    assert value("pcm whitened", stretched) == pytest.approx(value("pcm whitened", batch), rel=1e-9)


@pytest.mark.parametrize("name", ["pcm", "pcm whitened", "pcm leading"])
@settings(max_examples=20, deadline=None)
@given(batch=batches, factor=st.floats(1e-3, 1e3))
def test_pcm_does_not_know_the_scale_of_the_space(name: str, batch: Batch, factor: float) -> None:
    stretched = changed(batch, batch.student * factor, batch.target * factor, batch.variances * factor**2)
    assert value(name, stretched) == pytest.approx(value(name, batch), rel=1e-9)


@pytest.mark.parametrize("form", ["mse", "cosine"])
@settings(max_examples=20, deadline=None)
@given(batch=batches, signs=st.lists(st.sampled_from([-1.0, 1.0]), min_size=WIDTH, max_size=WIDTH))
def test_the_signs_of_singular_vectors_change_nothing(form: str, batch: Batch, signs: list[float]) -> None:
    name = "batch_svd" if form == "mse" else "batch_svd cosine"
    expected = literal_batch_svd(batch, 3, form, np.array(signs))
    assert value(name, batch) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(batch=batches, seed=st.integers(0, 99))
def test_correlations_do_not_know_the_scale_and_place_of_a_channel(batch: Batch, seed: int) -> None:
    rng = np.random.default_rng(seed)
    other = changed(batch, batch.student * rng.uniform(0.5, 2, WIDTH) + rng.standard_normal(WIDTH), batch.target)
    assert value("channel", other) == pytest.approx(value("channel", batch), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"crd", "vkd"}))
@settings(max_examples=10, deadline=None)
@given(batch=batches)
def test_a_perfect_student_scores_0_and_any_other_more(name: str, batch: Batch) -> None:
    assert value(name, changed(batch, batch.target, batch.target)) == pytest.approx(0, abs=1e-9)
    assert value(name, batch) >= -1e-9


def test_the_layer_normed_teacher_is_what_vkd_wants() -> None:
    batch = batch_of(6, 0)
    centred = batch.target - batch.target.mean(axis=1, keepdims=True)
    wanted = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
    assert value("vkd", changed(batch, wanted, batch.target)) == pytest.approx(0, abs=1e-12)


def test_crd_falls_as_the_student_comes_nearer_and_is_0_of_one_person() -> None:
    batch = batch_of(8, 1)
    away = np.random.default_rng(0).standard_normal(batch.target.shape)
    falling = [value("crd", changed(batch, batch.target + far * away, batch.target)) for far in (3, 1, 0.3, 0)]
    assert falling == sorted(falling, reverse=True)
    alone = Batch(batch.student, batch.target, [4] * 8, batch.modalities, batch.variances)
    assert value("crd", alone) == pytest.approx(0, abs=1e-12)


ZERO_SCORES = {
    "relation": 1.0,
    "relation across": 1.0,
    "mse": 1.0,
    "cosine": 1.0,
    "sp": 1.0,
    "batch_svd": 1.0,
    "batch_svd cosine": 1.0,
}


@pytest.mark.parametrize("name", ZERO_SCORES)
def test_a_student_that_says_nothing_scores_1(name: str) -> None:
    batch = batch_of(8, 2)
    assert value(name, changed(batch, np.zeros_like(batch.target), batch.target)) == pytest.approx(ZERO_SCORES[name])


@pytest.mark.parametrize("gamma", [-1.0, -0.5, 0.0, 0.5, 1.0, 2.0])
def test_a_student_that_predicts_the_mean_scores_1(gamma: float) -> None:
    """By the variances of the very samples."""
    target = np.random.default_rng(0).standard_normal((40, 6)) * np.array([0.5, 0.2, 0.1, 0.05, 0.02, 0.01])
    target = target - target.mean(axis=0)
    variances = torch.from_numpy(target.var(axis=0))
    scored = pcm(torch.zeros(40, 6, dtype=torch.float64), torch.from_numpy(target), variances, gamma)
    assert float(scored) == pytest.approx(1)


def test_a_component_that_never_varies_does_not_take_over() -> None:
    variances, target = torch.tensor([0.5, 0.1, 0.0]), torch.tensor([[0.3, 0.2, 0.0]])
    wrong_there = pcm(target + torch.tensor([0.0, 0.0, 1e-4]), target, variances, 1.0)
    assert 0 < float(wrong_there) < 0.1
    nothing_varies = pcm(target, target, torch.zeros(3), 1.0)
    assert float(nothing_varies) == 0


def test_strangers_only_say_nothing() -> None:
    """Embeddings of one image, centred: no cosine is left to be relative to."""
    y = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss = relation(y, torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64))
    loss.backward()
    assert float(loss.detach()) == 0
    assert y.grad is not None
    assert float(y.grad.abs().max()) == 0


def test_fewer_directions_than_asked_for_are_all_used() -> None:
    """A batch of rank 2: what the student says outside of the plane is nobody's business."""
    rng = np.random.default_rng(0)
    target = rng.standard_normal((6, 2)) @ rng.standard_normal((2, WIDTH))
    normal = np.linalg.svd(target)[2][4]
    batch = changed(batch_of(6, 0), target + rng.standard_normal((6, 1)) * normal, target)
    assert value("batch_svd", batch) == pytest.approx(0, abs=1e-9)


DEGENERATE: dict[str, Callable[[Batch], tuple[Floats, Floats]]] = {
    "one sample": lambda b: (b.student[:1], b.target[:1]),
    "two samples": lambda b: (b.student[:2], b.target[:2]),
    "identical outputs": lambda b: (b.student[[0] * len(b)], b.target),
    "identical targets": lambda b: (b.student, b.target[[0] * len(b)]),
    "identical rows": lambda b: (b.student[[0] * len(b)], b.target[[0] * len(b)]),
    "two identical": lambda b: (b.student[[0, 0, 1, 2]], b.target[[0, 0, 1, 2]]),
    "zero outputs": lambda b: (np.zeros_like(b.student), b.target),
    "zero targets": lambda b: (b.student, np.zeros_like(b.target)),
    "perfect": lambda b: (b.target, b.target),
    "dead channel": lambda b: (b.student * [1, 1, 0, 1, 1], b.target * [1, 0, 1, 1, 1]),
}


@pytest.mark.parametrize("case", DEGENERATE)
@pytest.mark.parametrize("name", LOSSES)
def test_value_and_gradient_stay_finite_in_float32(name: str, case: str) -> None:
    batch = batch_of(8, 3)
    rows, goals = DEGENERATE[case](batch)
    count = len(rows)
    cut = Batch(rows, goals, batch.people[:count], batch.modalities[:count], batch.variances.astype(np.float32))
    student = torch.from_numpy(rows).float().requires_grad_()
    loss = LOSSES[name](student, torch.from_numpy(goals).float(), cut)
    (gradient,) = torch.autograd.grad(loss, student)
    assert loss.dtype is torch.float32
    assert loss.ndim == 0
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()
    assert float(gradient.abs().max()) < 1e7


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"relation within"}))
def test_the_gradient_is_that_of_the_value(name: str) -> None:
    batch = batch_of(5, 4)
    target = torch.from_numpy(batch.target)
    student = torch.from_numpy(batch.student).requires_grad_()
    assert torch.autograd.gradcheck(lambda y: LOSSES[name](y, target, batch), (student,))
