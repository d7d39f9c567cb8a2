"""Attention maps against paths counted one by one, a ViT written out, and finite differences."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from small_backbones import SIZE, SMALL, TOKENS
from torch import Tensor
from torch.nn import functional

from distill.report.attention import has_tokens, look, pooled_from, rollout
from distill.report.attention_picture import choose, overlay
from reid.dataset import Dataset
from reid.modality import Modality
from reid.sample import Sample, Split
from student.build import build_student
from student.model import StudentModel
from student.pooling import VECTORS, pool
from student.zoo import ZOO

DIM = 6


@pytest.fixture(autouse=True)
def _small_students(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, entry in SMALL.items():
        monkeypatch.setitem(ZOO, name, entry)


def built(name: str, *, size: tuple[int, int] | None = None, **options: object) -> StudentModel:
    height, width = size or SIZE[name]
    student = build_student(name, DIM, height=height, width=width, seed=3, **options)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for weight in student.backbone.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=generator))
    return student


def batch(student: StudentModel, count: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels, modalities and targets."""
    generator = torch.Generator().manual_seed(7)
    pixels = torch.randn(count, 3, student.config.height, student.config.width, generator=generator)
    return pixels, torch.arange(count) % 3, torch.randn(count, DIM, generator=generator)


def by_paths(layers: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """[N, N] from layers [heads, N, N]: each path from an output token down to an input token, one by one."""
    size = layers[0].shape[-1]
    mixed = [0.5 * np.mean(layer, axis=0) + 0.5 * np.eye(size) for layer in layers]
    found = np.zeros((size, size))
    for path in itertools.product(range(size), repeat=len(layers) + 1):
        weight = 1.0
        for depth, layer in enumerate(mixed):
            # Token path[depth] after `depth` layers; the next layer reads it.
            weight *= layer[path[depth + 1], path[depth]]
        found[path[-1], path[0]] += weight
    return found


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**16))
def test_rollout_sums_all_paths_and_keeps_shares(layers: int, tokens: int, heads: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    attentions = [generator.dirichlet(np.ones(tokens), (2, heads, tokens)) for _ in range(layers)]
    found = rollout([torch.from_numpy(attention) for attention in attentions])
    np.testing.assert_allclose(found.sum(-1), np.ones((2, tokens)), atol=1e-12)
    for image in range(2):
        np.testing.assert_allclose(found[image], by_paths([a[image] for a in attentions]), atol=1e-12)


def test_rollout_of_no_layer_is_refused() -> None:
    with pytest.raises(ValueError, match="no layer attends"):
        rollout([])


@pytest.mark.parametrize("pooling", VECTORS)
@pytest.mark.parametrize(("special", "grid"), [(1, (2, 1)), (2, (9, 3)), (5, (16, 8))])
def test_what_is_pooled_is_what_pool_pools(pooling: str, special: int, grid: tuple[int, int]) -> None:
    places = special + grid[0] * grid[1]
    # Token i holds a 1 at i, so a pooled vector says how much of each token is in it.
    tokens = torch.eye(places)
    vectors = pool(pooling, tokens[None, 0], tokens[None, special:].unflatten(1, grid))
    torch.testing.assert_close(pooled_from(pooling, special, grid), vectors[0].mean(0))


def attentions_of_vit(student: StudentModel, pixels: Tensor) -> list[NDArray[np.float64]]:
    """[heads, N, N] of each layer, of one image, with the layers of the ViT written out."""
    backbone: torch.nn.Module = student.backbone
    config = backbone.config
    heads, width = int(config.num_attention_heads), int(config.hidden_size) // int(config.num_attention_heads)  # type: ignore[union-attr, arg-type]
    hidden = backbone.embeddings(pixels)[0]  # type: ignore[operator]
    found = []
    for layer in backbone.layers:  # type: ignore[union-attr]
        normed = layer.layernorm_before(hidden)
        query, key, value = (
            linear(normed).reshape(len(hidden), heads, width)
            for linear in (layer.attention.q_proj, layer.attention.k_proj, layer.attention.v_proj)
        )
        weights = torch.stack(
            [torch.softmax(query[:, h] @ key[:, h].T / math.sqrt(width), dim=-1) for h in range(heads)]
        )
        read = torch.cat([weights[h] @ value[:, h] for h in range(heads)], dim=-1)
        hidden = hidden + layer.attention.o_proj(read)
        hidden = hidden + layer.mlp(layer.layernorm_after(hidden))
        found.append(weights.detach().double().numpy())
    return found


@pytest.mark.parametrize("pooling", ["cls", "mean", "cls_mean"])
def test_a_vit_looks_where_its_attention_written_out_leads(pooling: str) -> None:
    student = built("tiny-vit", size=(32, 16), pooling=pooling)
    pixels, modalities, targets = batch(student, 1)
    joint = by_paths(attentions_of_vit(student, pixels))
    read_by = {"cls": [1, 0, 0], "mean": [0, 0.5, 0.5], "cls_mean": [0.5, 0.25, 0.25]}[pooling]
    patches = (np.array(read_by) @ joint)[1:]
    found = look(student, pixels, modalities, targets)
    assert found.shape == (1, 2, 1)
    np.testing.assert_allclose(found[0, :, 0], patches / patches.sum(), rtol=1e-5)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("stems", ["shared", "modality"])
def test_every_family_is_shown_where_it_looks(name: str, stems: str) -> None:
    student = built(name, stems=stems).train()
    before = {key: value.clone() for key, value in student.state_dict().items()}
    pixels, modalities, targets = batch(student, 3)
    found = look(student, pixels, modalities, targets)
    grid = student.config.family.grid(student.config.backbone_config(), *SIZE[name])
    assert has_tokens(student) == (name in TOKENS)
    assert found.shape == (3, *grid)
    assert found.dtype == torch.float32
    assert (found >= 0).all()
    torch.testing.assert_close(found.sum((1, 2)), torch.ones(3))
    assert found.flatten(1).std(1).min() > 0
    # The student is as it was.
    assert student.training
    assert student.config._attn_implementation != "eager"
    assert not student.backbone._forward_hooks
    assert not student.backbone._forward_pre_hooks
    assert all(weight.grad is None for weight in student.parameters())
    assert all(torch.equal(before[key], value) for key, value in student.state_dict().items())
    if stems == "modality":
        other = look(student, pixels, (modalities + 1) % 3, targets)
        assert not torch.allclose(found, other, atol=1e-4)


@pytest.mark.parametrize("pooling", ["mean", "parts"])
def test_gradients_are_those_of_finite_differences(pooling: str) -> None:
    student = built("tiny-convnextv2", pooling=pooling).double()
    pixels, modalities, targets = (t.double() if t.is_floating_point() else t for t in batch(student, 1))
    with torch.no_grad():
        features: Tensor = student.backbone(pixel_values=pixels).last_hidden_state

        def alike(changed: Tensor) -> float:
            vectors = pool(pooling, None, changed.permute(0, 2, 3, 1))
            normed = student.backbone.get_submodule("layernorm")(vectors).flatten(1)
            return float(functional.cosine_similarity(student.head(normed), targets))

        expected = torch.zeros(features.shape[2:], dtype=torch.float64)
        for channel, row, column in itertools.product(*map(range, features.shape[1:])):
            step = torch.zeros_like(features)
            step[0, channel, row, column] = 1e-5
            slope = (alike(features + step) - alike(features - step)) / 2e-5
            expected[row, column] += slope * features[0, channel, row, column]
    expected = expected.clamp_min(0)
    found = look(student, pixels, modalities, targets)[0].double()
    torch.testing.assert_close(found, expected / expected.sum(), atol=1e-6, rtol=1e-4)


def test_where_nothing_speaks_for_the_target_all_places_are_alike() -> None:
    student = built("tiny-convnextv2")
    torch.nn.init.zeros_(student.head.weight)
    torch.nn.init.ones_(student.head.bias)
    found = look(student, *batch(student))
    torch.testing.assert_close(found, torch.full_like(found, 1 / found[0].numel()))


def test_an_overlay_is_brightest_where_the_map_is_greatest() -> None:
    from PIL import Image

    image = Image.new("RGB", (40, 80), (128, 128, 128))
    places = np.full((4, 2), 0.1, dtype=np.float32)
    places[3, 1] = 0.3
    drawn = np.asarray(overlay(image, places).convert("L"), dtype=np.float64)
    row, column = np.unravel_index(drawn.argmax(), drawn.shape)
    assert row >= 60
    assert column >= 20
    even = np.asarray(overlay(image, np.full((4, 2), 0.125, dtype=np.float32)))
    assert (even == even[0, 0]).all()


def sample(person: str, modality: Modality, split: Split, number: int = 0) -> Sample:
    from pathlib import Path

    shown = {"text": "a man"} if modality is Modality.TEXT else {"image": Path("x.png")}
    return Sample(f"{person}-{modality}-{number}", person, modality, split, **shown)  # type: ignore[arg-type]


def dataset(people: Dataset, *samples: Sample) -> Dataset:
    from dataclasses import replace

    return replace(people, samples=samples)


def test_people_in_most_modalities_are_chosen_at_even_steps(people: Dataset) -> None:
    rgb, ir = Modality.RGB, Modality.IR
    both = [sample(f"p{n}", which, Split.TEST, n) for n in range(9) for which in (rgb, ir)]
    others = [sample("a", rgb, Split.TEST), sample("t", rgb, Split.TRAIN), sample("p0", Modality.TEXT, Split.TEST)]
    chosen = choose(dataset(people, *others, *both), 3)
    assert [(s.person_id, s.modality) for s in chosen] == [(p, m) for m in (rgb, ir) for p in ("p0", "p4", "p8")]
    assert [s.person_id for s in choose(dataset(people, *others, *both[:2]), 3)] == ["p0", "a", "p0"]


def test_training_people_are_shown_where_there_are_no_others(people: Dataset) -> None:
    train = sample("t", Modality.RGB, Split.TRAIN)
    told = sample("u", Modality.TEXT, Split.TEST)
    assert choose(dataset(people, train, told)) == [train]
    assert choose(dataset(people, told)) == []
