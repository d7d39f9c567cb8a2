"""The checkpoint: what is loaded embeds as what was saved, and whatever does not belong together is refused by name.

That plain peft reads the adapter is tested with the LoRA levels.
"""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from small_models import SIZE
from small_teachers import disturb, levels, resize_in_manifest, trained, trained_neck, write

from reid.dataset import Dataset
from reid.errors import UserError
from reid.sample import Split
from teacher.backbone import Backbone, load_backbone
from teacher.checkpoint import load_adapter_weights, load_teacher
from teacher.embedder import Embedder
from teacher.encoder import Encoder
from teacher.lora import attach, match_levels
from teacher.settings import Recipe

Load = Callable[..., Backbone]
Recipes = Callable[..., Recipe]


@pytest.fixture
def folder(teacher_of: Callable[..., Path]) -> Path:
    """A checkpoint with LoRA on all parts."""
    return teacher_of()


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """The same checkpoint, to be damaged."""
    return Path(shutil.copytree(folder, tmp_path / "teacher"))


def embeddings(folder: Path, people: Dataset, **options: Any) -> NDArray[np.float32]:
    teacher = load_teacher(folder, **options)
    return Embedder(teacher.encoder, teacher.readout_neck).embed(people.select(Split.VAL))


@pytest.mark.parametrize("readout", ["before_neck", "after_neck"])
@pytest.mark.parametrize("kind", ["lora", "full", "frozen"])
def test_what_is_loaded_embeds_exactly_as_what_was_saved(
    kind: str, readout: str, loaded: Load, recipe: Recipes, people: Dataset, tmp_path: Path
) -> None:
    backbone, neck = loaded(), trained_neck(32)
    how = recipe(f"tuning.kind={kind}", f"readout.embedding={readout}", "objective.id.scale=16")
    adapter = trained(backbone, levels()) if kind == "lora" else None
    if kind == "full":
        disturb(backbone.model.requires_grad_(True), 4)
    embedder = Embedder(Encoder(backbone, how.prompts).eval(), neck if readout == "after_neck" else None)
    expected = embedder.embed(people.select(Split.VAL))
    saved = write(tmp_path / "teacher", backbone, how, adapter, neck)
    found = embeddings(saved, people)
    np.testing.assert_array_equal(found, expected)
    again = load_teacher(saved)
    assert again.recipe == how
    assert again.neck is not None
    assert torch.equal(again.neck.classifier.weight, neck.classifier.weight)
    assert not any(weight.requires_grad for weight in (*again.encoder.parameters(), *again.neck.parameters()))


def test_nothing_in_the_folder_is_a_pickle(folder: Path, loaded: Load, recipe: Recipes, tmp_path: Path) -> None:
    """Neither the protocol's first byte with its version, nor the zip file that torch.save puts one into."""
    full = write(tmp_path / "full", loaded(), recipe("tuning.kind=full"))
    paths = [path for checkpoint in (folder, full) for path in checkpoint.rglob("*") if path.is_file()]
    assert {"adapter_model.safetensors", "neck.safetensors", "teacher.json"} <= {path.name for path in paths}
    for path in paths:
        assert not re.match(rb"\x80[\x02-\x05]", path.read_bytes()[:2]), path
        assert not zipfile.is_zipfile(path), path


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "neck.safetensors"])
def test_missing_and_unexpected_weights_are_errors(file: str, copy: Path) -> None:
    weights = load_file(copy / file)
    first = min(weights)
    for changed, message in (
        ({k: v for k, v in weights.items() if k != first}, f"MISSING weights: {re.escape(first)}"),
        ({**weights, "zzz.weight": torch.zeros(1)}, "UNEXPECTED weights: zzz.weight"),
    ):
        save_file(changed, copy / file)
        resize_in_manifest(copy)
        with pytest.raises(UserError, match=message) as refused:
            load_teacher(copy)
        assert str(copy / file) in str(refused.value)


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "neck.safetensors"])
def test_a_weight_of_another_shape_is_an_error(file: str, copy: Path) -> None:
    weights = load_file(copy / file)
    first = min(weights)
    save_file({**weights, first: torch.zeros(7, 7)}, copy / file)
    resize_in_manifest(copy)
    with pytest.raises(UserError, match=re.escape(str(copy))) as refused:
        load_teacher(copy)
    assert "7, 7" in str(refused.value)


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "neck.safetensors", "teacher.json"])
@pytest.mark.parametrize("same_size", [True, False])
def test_a_damaged_file_is_an_error_that_names_it(file: str, same_size: bool, copy: Path) -> None:
    size = (copy / file).stat().st_size
    (copy / file).write_bytes(b"\xff" * (size if same_size else size // 2))
    with pytest.raises(UserError, match=re.escape(file)):
        load_teacher(copy)


def test_a_file_that_is_missing_is_named(copy: Path) -> None:
    (copy / "neck.safetensors").unlink()
    with pytest.raises(UserError, match=r"neck\.safetensors is missing"):
        load_teacher(copy)


def test_a_checkpoint_of_another_base_is_refused_with_both_named(folder: Path, base_of: Callable[..., Path]) -> None:
    other = base_of("qwen2_vl", seed=1)
    with pytest.raises(UserError, match="was trained on") as refused:
        load_teacher(folder, base=str(other))
    assert str(other) in str(refused.value)
    assert str(base_of("qwen2_vl")) in str(refused.value)


def test_a_base_with_another_tokenizer_is_another(folder: Path, base_of: Callable[..., Path], tmp_path: Path) -> None:
    other = Path(shutil.copytree(base_of("qwen2_vl"), tmp_path / "other"))
    load_teacher(folder, base=str(other))
    words = other / "tokenizer.json"
    words.write_text(words.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(UserError, match="was trained on"):
        load_teacher(folder, base=str(other))


@pytest.mark.parametrize("kind", ["full", "frozen"])
def test_a_checkpoint_without_an_adapter_is_no_beginning_of_one(
    kind: str, loaded: Load, recipe: Recipes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    saved = write(tmp_path / "teacher", loaded(), recipe(f"tuning.kind={kind}"))
    assert capfd.readouterr() == ("", "")
    fresh = loaded()
    adapter = attach(fresh.model, match_levels(fresh.model, fresh.family, levels()))
    with pytest.raises(UserError, match=f"has no adapter to train on, because its tuning.kind was {kind}") as refused:
        load_adapter_weights(adapter, saved, fresh.base)
    assert (f"--base {saved / 'model'} instead" in str(refused.value)) == (kind == "full")


def test_a_base_that_has_moved_is_found_again(
    base_of: Callable[..., Path], recipe: Recipes, people: Dataset, tmp_path: Path
) -> None:
    """And what was seen in training is seen again, also if the new place lacks the preprocessing."""
    before, after = tmp_path / "before", tmp_path / "after"
    shutil.copytree(base_of(), before)
    colours = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.1, 0.2, 0.3]}
    (before / "preprocessor_config.json").write_text(json.dumps(colours))
    backbone = load_backbone(str(before), SIZE)
    assert backbone.preprocessing.mean == (0.5, 0.4, 0.3)
    saved = write(tmp_path / "teacher", backbone, recipe(), trained(backbone, levels()))
    expected = embeddings(saved, people)
    before.rename(after)
    with pytest.raises(UserError, match=f"{before} is no longer there; name its place with --base"):
        load_teacher(saved)
    np.testing.assert_array_equal(embeddings(saved, people, base=str(after)), expected)
    (after / "preprocessor_config.json").unlink()
    np.testing.assert_array_equal(embeddings(saved, people, base=str(after)), expected)
