"""LoRA levels: what they match, and that plain peft reads what we write."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from small_models import BUILDERS, LEVELS, SIZE
from small_teachers import levels, trained, write
from torch import nn
from transformers import AutoModelForImageTextToText

from reid.errors import UserError
from reid.modality import Modality
from teacher.backbone import Backbone
from teacher.batch import Batch, make_batch
from teacher.checkpoint import load_adapter_weights, load_teacher
from teacher.encoder import Encoder
from teacher.lora import attach, describe, match_levels
from teacher.settings import Level, Recipe

LAYERS = {"qwen2_vl": (8, 2), "qwen2_5_vl": (10, 2), "qwen3_vl": (8, 4), "llava": (18, 2), "llava_onevision": (18, 2)}
"""Linear layers in the vision blocks and in the connector of the small models, counted by hand."""


@pytest.mark.parametrize("family", BUILDERS)
def test_levels_match_the_layers_of_their_part_and_no_others(family: str, loaded: Callable[..., Backbone]) -> None:
    backbone = loaded(family)
    vision, connector, language = match_levels(backbone.model, backbone.family, levels())
    assert (len(vision.modules), len(connector.modules)) == LAYERS[family]
    assert len(language.modules) == 3 * 7
    assert all("language_model" in name for name in language.modules)
    assert not any("language_model" in name for name in (*vision.modules, *connector.modules))
    chosen = [backbone.model.get_submodule(m) for e in (vision, connector, language) for m in e.modules]
    assert all(isinstance(module, nn.Linear) for module in chosen)
    assert not any("patch_embed" in name for name in vision.modules)


def test_levels_can_be_ranges_of_layers(loaded: Callable[..., Backbone]) -> None:
    backbone = loaded()
    lower = {"part": "language", "layers": "0-1", "modules": ["attention"]}
    upper = {"part": "language", "layers": "2", "modules": ["mlp"], "rank": 5}
    found = match_levels(
        backbone.model, backbone.family, {"lower": Level.model_validate(lower), "upper": Level.model_validate(upper)}
    )
    assert [len(entry.modules) for entry in found] == [8, 3]
    assert {re.search(r"layers\.(\d+)", m)[1] for m in found[0].modules} == {"0", "1"}  # type: ignore[index]
    adapter = attach(backbone.model, found)
    ranks = {n: w.shape[0] for n, w in adapter.named_parameters() if "lora_A" in n}
    assert {rank for name, rank in ranks.items() if "layers.2" in name} == {5}
    assert {rank for name, rank in ranks.items() if "layers.2" not in name} == {16}


@pytest.mark.parametrize(
    ("level", "message"),
    [
        ({"part": "language", "layers": "1-3"}, "layers: 3, but language has layers 0 to 2"),
        ({"part": "connector", "modules": ["attention"]}, "no linear layer of this Qwen2-VL matches"),
    ],
)
def test_a_level_that_matches_nothing_is_refused(
    level: dict[str, Any], message: str, loaded: Callable[..., Backbone]
) -> None:
    backbone = loaded()
    with pytest.raises(UserError, match=message):
        match_levels(backbone.model, backbone.family, {"odd": Level.model_validate(level)})


def test_a_layer_in_two_levels_is_refused(loaded: Callable[..., Backbone]) -> None:
    backbone = loaded()
    twice = {name: Level(part="language", layers="0-1") for name in ("one", "two")}
    with pytest.raises(UserError, match="is in level 'one' too"):
        match_levels(backbone.model, backbone.family, twice)


def test_the_table_counts_the_weights_that_train(loaded: Callable[..., Backbone]) -> None:
    backbone = loaded()
    matched = match_levels(backbone.model, backbone.family, levels(language={"dora": True}))
    table = describe(matched, backbone.model)
    adapter = attach(backbone.model, matched)
    for line, part in zip(table.splitlines()[2:], ("visual.blocks", "visual.merger", "language_model"), strict=True):
        trained = sum(w.numel() for n, w in adapter.named_parameters() if w.requires_grad and part in n)
        assert line.endswith(f" {trained:,}")


def probe(encoder: Encoder) -> Batch:
    pixels = torch.randn(2, 3, SIZE.height, SIZE.width, generator=torch.Generator().manual_seed(3))
    return make_batch(encoder.book, [Modality.RGB, Modality.SKETCH], [None, None], pixels)


MIXTURES: dict[str, dict[str, dict[str, Any]]] = {
    "plain": {},
    "dora": {name: {"dora": True} for name in LEVELS},
    "one level with dora": {"language": {"dora": True}},
}


@pytest.mark.parametrize("mixture", MIXTURES)
@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
@torch.no_grad()
def test_plain_peft_loads_what_we_write(
    family: str,
    mixture: str,
    loaded: Callable[..., Backbone],
    base_of: Callable[..., Path],
    recipe: Callable[..., Recipe],
    tmp_path: Path,
) -> None:
    backbone, how = loaded(family), recipe()
    adapter = trained(backbone, levels(**MIXTURES[mixture]))
    encoder = Encoder(backbone, how.prompts).eval()
    batch = probe(encoder)
    ours = encoder(batch)
    folder = write(tmp_path / "teacher", backbone, how, adapter)

    stock = AutoModelForImageTextToText.from_pretrained(base_of(family))
    read = PeftModel.from_pretrained(stock, str(folder)).eval()
    model: Any = read.base_model.model
    assert batch["pixels"] is not None
    patches = patches_of(batch["pixels"], model.config.vision_config)
    types = (batch["input_ids"] == model.config.image_token_id).int()
    states = model.model(input_ids=batch["input_ids"], mm_token_type_ids=types, **patches).last_hidden_state
    rows = torch.arange(2)
    torch.testing.assert_close(ours, states[rows, batch["last"]], atol=1e-4, rtol=1e-3)
    with read.disable_adapter():
        without = model.model(input_ids=batch["input_ids"], mm_token_type_ids=types, **patches).last_hidden_state
    assert (without[rows, batch["last"]] - ours).abs().max() > 0.05

    for merge in (False, True):
        again = load_teacher(folder, merge=merge)
        torch.testing.assert_close(again.encoder(batch), ours, atol=1e-4, rtol=1e-3)


def patches_of(pixels: torch.Tensor, config: Any) -> dict[str, torch.Tensor]:
    """What transformers' processor makes of normalised images, both frames."""
    n, _, height, width = pixels.shape
    rows, columns = height // 28, width // 28
    cut = pixels.reshape(n, 3, rows, 2, 14, columns, 2, 14).permute(0, 2, 5, 3, 6, 1, 4, 7)
    frames = cut[..., None, :, :].expand(*cut.shape[:6], 2, 14, 14)
    grid = torch.tensor([[1, height // 14, width // 14]] * n)
    return {"pixel_values": frames.reshape(n * height * width // 196, -1), "image_grid_thw": grid}


@pytest.mark.parametrize("mixture", MIXTURES)
def test_an_adapter_can_be_trained_on(
    mixture: str, loaded: Callable[..., Backbone], recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    chosen = levels(**MIXTURES[mixture])
    backbone = loaded()
    adapter = trained(backbone, chosen)
    folder = write(tmp_path / "teacher", backbone, recipe(), adapter)
    fresh = loaded()
    other = attach(fresh.model, match_levels(fresh.model, fresh.family, chosen)).eval()
    load_adapter_weights(other, folder, fresh.base)
    one, two = Encoder(backbone, recipe().prompts).eval(), Encoder(fresh, recipe().prompts).eval()
    with torch.no_grad():
        torch.testing.assert_close(one(probe(one)), two(probe(two)))
    assert any(weight.requires_grad for weight in other.parameters())
    last = loaded()
    narrow = attach(last.model, match_levels(last.model, last.family, levels(vision={"rank": 1})))
    with pytest.raises(UserError, match="has other levels than the recipe"):
        load_adapter_weights(narrow, folder, last.base)
