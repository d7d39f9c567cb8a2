"""LoRA levels: what they match, and that plain peft reads what we write."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from small_models import BUILDERS, LEVELS, SIZE
from torch import nn
from transformers import AutoModelForImageTextToText

from reid.artifact import ArtifactWriter
from reid.errors import UserError
from reid.modality import Modality
from teacher.backbone import Backbone
from teacher.batch import Batch, make_batch
from teacher.checkpoint import KIND, RECIPE, load_adapter_weights, load_teacher, save_teacher
from teacher.encoder import Encoder
from teacher.lora import attach, describe, match_levels
from teacher.objective import Neck
from teacher.recipe import dump_recipe
from teacher.settings import Level, Recipe

LAYERS = {"qwen2_vl": (8, 2), "qwen2_5_vl": (10, 2), "qwen3_vl": (8, 4), "llava": (18, 2), "llava_onevision": (18, 2)}
"""Linear layers in the vision blocks and in the connector of the small models, counted by hand."""


def levels(**changes: dict[str, Any]) -> dict[str, Level]:
    return {name: Level.model_validate({**level, **changes.get(name, {})}) for name, level in LEVELS.items()}


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


def trained(backbone: Backbone, chosen: dict[str, Level]) -> PeftModel:
    """An adapter whose weights are no longer where they began."""
    adapter = attach(backbone.model, match_levels(backbone.model, backbone.family, chosen))
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in adapter.parameters():
            if weight.requires_grad:
                weight.add_(0.3 * torch.randn_like(weight) * weight.abs().mean().clamp(min=0.3))
    return adapter.eval()


def write(folder: Path, backbone: Backbone, recipe: Recipe, adapter: PeftModel) -> Path:
    with ArtifactWriter(folder, KIND, {"command": "test"}) as artifact:
        save_teacher(artifact.path, backbone, recipe, Neck(backbone.width, 3), adapter)
        (artifact.path / RECIPE).write_text(dump_recipe(recipe))
    return folder


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
    load_adapter_weights(other, folder)
    one, two = Encoder(backbone, recipe().prompts).eval(), Encoder(fresh, recipe().prompts).eval()
    with torch.no_grad():
        torch.testing.assert_close(one(probe(one)), two(probe(two)))
    assert any(weight.requires_grad for weight in other.parameters())
    last = loaded()
    narrow = attach(last.model, match_levels(last.model, last.family, levels(vision={"rank": 1})))
    with pytest.raises(UserError, match="has other levels than the recipe"):
        load_adapter_weights(narrow, folder)


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "neck.safetensors"])
def test_missing_and_unexpected_weights_are_errors(
    file: str, loaded: Callable[..., Backbone], recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    backbone = loaded()
    folder = write(tmp_path / "teacher", backbone, recipe(), trained(backbone, levels()))
    path = folder / file
    weights = load_file(path)
    first = min(weights)
    (folder / "manifest.json").write_text(re.sub(r'"bytes": \d+', '"bytes": 0', (folder / "manifest.json").read_text()))
    for changed, message in (
        ({k: v for k, v in weights.items() if k != first}, f"MISSING weights: {re.escape(first)}"),
        ({**weights, "zzz.weight": torch.zeros(1)}, "UNEXPECTED weights: zzz.weight"),
    ):
        save_file(changed, path)
        resize_in_manifest(folder)
        with pytest.raises(UserError, match=message):
            load_teacher(folder)


def resize_in_manifest(folder: Path) -> None:
    """Make the manifest agree with the files' sizes, so that what is tested is the weights."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    for name, entry in manifest["files"].items():
        entry["bytes"] = (folder / name).stat().st_size
    path.write_text(json.dumps(manifest))


def test_a_checkpoint_of_another_base_is_refused_with_both_named(
    loaded: Callable[..., Backbone], base_of: Callable[..., Path], recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    backbone = loaded()
    folder = write(tmp_path / "teacher", backbone, recipe(), trained(backbone, levels()))
    other = base_of("qwen2_vl", seed=1)
    with pytest.raises(UserError, match="was trained on") as refused:
        load_teacher(folder, base=str(other))
    assert str(other) in str(refused.value)
    assert str(base_of("qwen2_vl")) in str(refused.value)
