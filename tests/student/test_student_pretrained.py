"""Pretrained weights: at their own size the transformers model to the bit, at another what transformers resizes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_students import PERSON, SMALL, SQUARE, checkpoint, images
from torch import Tensor
from transformers import ViTConfig, ViTForImageClassification

from reid.errors import UserError
from student.build import build_student
from student.model import StudentModel

WITH_POSITIONS = [name for name, entry in SMALL.items() if entry.family.positions]
WEIGHTS = "model.safetensors"


def square(name: str, folder: Path, **options: object) -> StudentModel:
    """A student of the checkpoint's own size."""
    side = SQUARE[name]
    return build_student(name, 5, height=side, width=side, init=str(folder), **options)  # type: ignore[arg-type]


def last_of(model: StudentModel, pixels: Tensor) -> Tensor:
    last: Tensor = model.backbone(pixel_values=pixels).last_hidden_state
    return last


def rewrite(folder: Path, change: dict[str, Tensor | None]) -> None:
    """Put tensors into the weight file, or take those out that are None."""
    weights: dict[str, Tensor | None] = {**load_file(folder / WEIGHTS), **change}
    kept = {key: value for key, value in weights.items() if value is not None}
    save_file(kept, folder / WEIGHTS, metadata={"format": "pt"})


@pytest.mark.parametrize("name", SMALL)
@torch.no_grad()
def test_at_the_size_of_the_weights_it_is_the_transformers_model(tmp_path: Path, name: str) -> None:
    source = checkpoint(tmp_path, name)
    pixels = images(2, SQUARE[name], SQUARE[name])
    expected = source(pixel_values=pixels).last_hidden_state
    assert float(expected.std()) > 1e-3
    assert torch.equal(last_of(square(name, tmp_path), pixels), expected)


@pytest.mark.parametrize("name", WITH_POSITIONS)
@torch.no_grad()
def test_at_another_size_positions_are_resized_as_transformers_does(tmp_path: Path, name: str) -> None:
    source = checkpoint(tmp_path, name)
    height, width = PERSON[name]
    pixels = images(2, height, width)
    options = {"interpolate_pos_encoding": True} if "dinov2" not in name else {}
    expected = source(pixel_values=pixels, **options).last_hidden_state
    model = build_student(name, 5, height=height, width=width, init=str(tmp_path))
    torch.testing.assert_close(last_of(model, pixels), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["small-mobilevit", "small-convnextv2"])
@torch.no_grad()
def test_convolutions_take_any_size(tmp_path: Path, name: str) -> None:
    source = checkpoint(tmp_path, name)
    pixels = images(2, *PERSON[name])
    model = build_student(name, 5, height=PERSON[name][0], width=PERSON[name][1], init=str(tmp_path))
    assert torch.equal(last_of(model, pixels), source(pixel_values=pixels).last_hidden_state)


@pytest.mark.parametrize("name", SMALL)
@torch.no_grad()
def test_each_stem_begins_with_the_pretrained_one(tmp_path: Path, name: str) -> None:
    checkpoint(tmp_path, name)
    pixels = images(3, SQUARE[name], SQUARE[name])
    shared, own = square(name, tmp_path), square(name, tmp_path, stems="modality")
    found = own.features(pixels, torch.tensor([0, 1, 2]))
    torch.testing.assert_close(found, shared.features(pixels), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_rectangle_is_resized_from_its_own_rows_and_columns(tmp_path: Path) -> None:
    """Positions that depend on the row alone: a student of the same height and twice the width repeats them."""
    source = checkpoint(tmp_path, "small-vit", image_size=(64, 32))
    rows = torch.linspace(-1, 1, 4)[:, None, None].expand(4, 2, 24).reshape(1, 8, 24)
    source.embeddings.position_embeddings[:, 1:] = rows
    source.save_pretrained(tmp_path)
    positions = square("small-vit", tmp_path).backbone.get_parameter("embeddings.position_embeddings")
    expected = torch.linspace(-1, 1, 4)[:, None, None].expand(4, 4, 24).reshape(1, 16, 24)
    torch.testing.assert_close(positions[:, 1:], expected)


@torch.no_grad()
def test_a_classifier_is_dropped_and_named(tmp_path: Path) -> None:
    config = ViTConfig(**SMALL["small-vit"].config, image_size=64, num_labels=3)
    source = ViTForImageClassification(config).train(False)
    source.save_pretrained(tmp_path)
    model = square("small-vit", tmp_path)
    pixels = images(2, 64, 64)
    assert torch.equal(last_of(model, pixels), source.vit(pixel_values=pixels).last_hidden_state)
    assert model.config.dropped == ["classifier.bias", "classifier.weight"]
    assert "id2label" not in (model.config.backbone or {})


def test_a_pooling_layer_is_dropped_and_named(tmp_path: Path) -> None:
    checkpoint(tmp_path, "small-vit")
    assert square("small-vit", tmp_path).config.dropped == ["pooler.dense.bias", "pooler.dense.weight"]


def test_nothing_is_dropped_of_a_checkpoint_that_has_nothing_else(tmp_path: Path) -> None:
    checkpoint(tmp_path, "small-convnextv2")
    assert square("small-convnextv2", tmp_path).config.dropped == []


@torch.no_grad()
def test_the_config_of_the_weights_is_kept(tmp_path: Path) -> None:
    """An epsilon or an activation of the weights' own changes every output."""
    checkpoint(tmp_path, "small-vit", layer_norm_eps=0.125, hidden_act="relu")
    kept = square("small-vit", tmp_path).config.backbone or {}
    assert (kept["layer_norm_eps"], kept["hidden_act"]) == (0.125, "relu")


def test_colours_are_those_of_the_image_processor(tmp_path: Path) -> None:
    checkpoint(tmp_path, "small-vit")
    processor = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6], "do_normalize": True, "resample": 2}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor), encoding="utf-8")
    found = square("small-vit", tmp_path).preprocessing
    assert (found.mean, found.std, found.resampling) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "bilinear")


@torch.no_grad()
def test_weights_that_take_blue_first_are_turned_to_take_red_first(tmp_path: Path) -> None:
    source = checkpoint(tmp_path, "small-mobilevit")
    processor = {"do_rescale": True, "do_flip_channel_order": True, "resample": 2}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor), encoding="utf-8")
    model = square("small-mobilevit", tmp_path)
    pixels = images(2, 64, 64)
    expected = source(pixel_values=pixels.flip(1)).last_hidden_state
    torch.testing.assert_close(last_of(model, pixels), expected, rtol=1e-4, atol=1e-5)
    assert (model.preprocessing.mean, model.preprocessing.std) == ((0, 0, 0), (1, 1, 1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 32}, "its hidden_size is 32; small-vit has 24"),
        ({"num_hidden_layers": 3}, "its num_hidden_layers is 3; small-vit has 2"),
        ({"patch_size": 8}, "its patch_size is 8; small-vit has 16"),
        ({"num_channels": 1}, "its num_channels is 1; expected 3"),
    ],
)
def test_another_shape_is_refused_by_its_key(tmp_path: Path, changes: dict[str, int], message: str) -> None:
    checkpoint(tmp_path, "small-vit", **changes)
    with pytest.raises(UserError, match=message):
        square("small-vit", tmp_path)


def test_another_family_is_refused(tmp_path: Path) -> None:
    checkpoint(tmp_path, "small-deit")
    with pytest.raises(UserError, match="is a deit; vit-micro needs a vit"):
        build_student("vit-micro", 5, init=str(tmp_path))


def test_a_missing_weight_is_refused_by_its_name(tmp_path: Path) -> None:
    checkpoint(tmp_path, "small-convnextv2")
    rewrite(tmp_path, {"encoder.stages.2.layers.1.pwconv1.weight": None})
    with pytest.raises(UserError, match=r"MISSING weights: encoder\.stages\.2\.layers\.1\.pwconv1\.weight \(1 such"):
        square("small-convnextv2", tmp_path)


def test_an_unexpected_weight_is_refused_by_its_name(tmp_path: Path) -> None:
    checkpoint(tmp_path, "small-vit")
    rewrite(tmp_path, {"adapter.weight": torch.zeros(2)})
    with pytest.raises(UserError, match=r"UNEXPECTED weights: adapter\.weight \(1 such"):
        square("small-vit", tmp_path)


def test_a_weight_of_another_shape_is_refused(tmp_path: Path) -> None:
    checkpoint(tmp_path, "small-convnextv2")
    rewrite(tmp_path, {"layernorm.weight": torch.zeros(3)})
    with pytest.raises(UserError, match=r"its weights do not load|MISMATCHED weights: layernorm"):
        square("small-convnextv2", tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / WEIGHTS).write_bytes(b"no weights"), "its weights do not load"),
        (lambda folder: (folder / WEIGHTS).unlink(), "its weights do not load"),
        (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "its config does not load"),
    ],
)
def test_a_damaged_folder_is_one_line(tmp_path: Path, damage: object, message: str) -> None:
    checkpoint(tmp_path, "small-vit")
    damage(tmp_path)  # type: ignore[operator]
    with pytest.raises(UserError, match=message) as refused:
        square("small-vit", tmp_path)
    assert "\n" not in str(refused.value)


def test_a_folder_that_is_not_there_is_not_looked_for_on_the_hub(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        square("small-vit", tmp_path / "nothing")
