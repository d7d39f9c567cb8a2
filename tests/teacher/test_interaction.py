"""Semantic-Guided Interaction and cross-attention against torch's own layers; cameras against a table."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from teacher.readout.cameras import Cameras
from teacher.readout.interaction import CrossInteraction, SelfInteraction

WIDTH, HEADS, LAYERS = 24, 3, 3


def disturbed(module: nn.Module) -> Any:
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return module.eval()


def inputs(n: int = 5) -> tuple[Tensor, Tensor]:
    torch.manual_seed(2)
    return 30 * torch.randn(4, WIDTH), 0.1 * torch.randn(4, n, WIDTH)


def by_torch(layer: Any, asking: Tensor, answering: Tensor) -> Tensor:
    """A pre-norm layer with torch's MultiheadAttention."""
    attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
    with torch.no_grad():
        attention.in_proj_weight.copy_(torch.cat([layer.query.weight, layer.key_value.weight]))
        attention.in_proj_bias.copy_(torch.cat([layer.query.bias, layer.key_value.bias]))
        attention.out_proj.load_state_dict(layer.out.state_dict())
    others = layer.norm(answering)
    asking = asking + attention(layer.norm(asking), others, others, need_weights=False)[0]
    return asking + layer.down(nn.functional.gelu(layer.up(layer.mlp_norm(asking))))


@pytest.mark.parametrize("places", [0, 5])
@torch.no_grad()
def test_the_interaction_is_a_transformer_over_all_tokens_read_at_the_first(places: int) -> None:
    module = disturbed(SelfInteraction(WIDTH, LAYERS, HEADS, 2, places))
    token, visual = inputs()
    seen = module.visual_norm(visual) + (module.places if places else 0)
    tokens = torch.cat([module.token_norm(token)[:, None], seen], dim=1)
    for layer in module.layers:
        tokens = by_torch(layer, tokens, tokens)
    assert torch.allclose(module(token, visual), module.last_norm(tokens[:, 0]), atol=1e-5)


@torch.no_grad()
def test_in_cross_attention_the_visual_tokens_stay_what_they_are() -> None:
    module = disturbed(CrossInteraction(WIDTH, LAYERS, HEADS, 2))
    token, visual = inputs()
    asked, seen = module.token_norm(token)[:, None], module.visual_norm(visual)
    for layer in module.layers:
        asked = by_torch(layer, asked, seen)
    assert torch.allclose(module(token, visual), module.last_norm(asked[:, 0]), atol=1e-5)


@torch.no_grad()
def test_without_places_the_order_of_the_visual_tokens_does_not_matter() -> None:
    token, visual = inputs()
    turned = visual.flip(1)
    plain, placed = (disturbed(SelfInteraction(WIDTH, LAYERS, HEADS, 2, tokens)) for tokens in (0, 5))
    assert torch.allclose(plain(token, visual), plain(token, turned), atol=1e-5)
    assert not torch.allclose(placed(token, visual), placed(token, turned), atol=1e-2)


def test_a_camera_that_was_not_trained_on_has_the_mean_of_those_that_were() -> None:
    cameras = disturbed(Cameras("market1501", ["a", "b", "c"], 6))
    codes = cameras.codes(["c", "z", None, "a"])
    found = cameras(torch.tensor(codes))
    table = cameras.vectors
    assert torch.equal(found[[0, 3]], table[[2, 0]])
    assert torch.allclose(found[1], table.mean(0))
    assert torch.allclose(found[2], table.mean(0))
    cameras.known = False
    assert torch.allclose(cameras(torch.tensor(cameras.codes(["c"])))[0], table.mean(0))


def test_cameras_change_nothing_before_they_are_trained() -> None:
    assert not Cameras("market1501", ["a", "b"], 6)(torch.tensor([0, -1])).any()
