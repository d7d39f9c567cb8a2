"""`teacher doctor`: nothing is wrong with a sound checkpoint, and each defect is found by its own check."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import BUILDERS
from small_teachers import levels, resize_in_manifest, trained, trained_neck, write

from reid.artifact import read_manifest
from reid.dataset import Dataset
from teacher.backbone import Backbone
from teacher.lora import attach, match_levels
from teacher.recipe import dump_recipe
from teacher.settings import Recipe

Load = Callable[..., Backbone]
Recipes = Callable[..., Recipe]
TeacherOf = Callable[..., Path]


@pytest.fixture
def doctor(reid: Any) -> Callable[..., tuple[int, list[str], list[str]]]:
    """doctor(...) gives the exit code, what is well and what is not."""

    def call(*words: object) -> tuple[int, list[str], list[str]]:
        done = reid("teacher", "doctor", *words, "--device", "cpu")
        assert done.err == ""
        lines = done.out.splitlines()
        return done.code, [x[5:] for x in lines if x[:5] == "ok   "], [x[5:] for x in lines if x[:5] == "BAD  "]

    return call


@pytest.mark.parametrize("family", BUILDERS)
@pytest.mark.parametrize("readout", ["before_neck", "after_neck"])
def test_nothing_is_wrong_with_a_sound_checkpoint(
    family: str, readout: str, loaded: Load, recipe: Recipes, tmp_path: Path, doctor: Any
) -> None:
    backbone = loaded(family)
    adapter = trained(backbone, levels(language={"dora": True}))
    folder = write(tmp_path / "teacher", backbone, recipe(f"readout.embedding={readout}"), adapter)
    code, well, wrong = doctor(folder)
    assert (code, wrong) == (0, [])
    assert len(well) == 8


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_half_precision_is_no_illness(dtype: str, teacher_of: TeacherOf, doctor: Any) -> None:
    assert doctor(teacher_of(), "--dtype", dtype)[::2] == (0, [])


def test_it_says_what_was_trained(teacher_of: TeacherOf, base_of: Callable[..., Path], reid: Any) -> None:
    done = reid("teacher", "doctor", teacher_of(), "--device", "cpu")
    weights = load_file(teacher_of() / "adapter_model.safetensors")
    layers, own = sum(".lora_A." in key for key in weights), sum(weight.numel() for weight in weights.values())
    assert f"adapter   {layers} linear layers, {own:,} of" in done.out
    assert f"base      Qwen2-VL, {base_of()}" in done.out
    assert "neck      3 people" in done.out


def test_an_adapter_that_was_never_trained_is_found(loaded: Load, recipe: Recipes, tmp_path: Path, doctor: Any) -> None:
    """All B are zero, as they begin."""
    backbone = loaded()
    adapter = attach(backbone.model, match_levels(backbone.model, backbone.family, levels()))
    code, _, wrong = doctor(write(tmp_path / "teacher", backbone, recipe(), adapter))
    assert code == 1
    assert wrong == [
        "adapter trained: 0 of 31 layers have moved from their start",
        "adapter active: embeddings change by 0.0 % without it",
    ]


@pytest.fixture
def damaged(teacher_of: TeacherOf, tmp_path: Path) -> Callable[..., Path]:
    """damaged("neck.safetensors", change) is a checkpoint whose weights there were changed."""

    def make(file: str, change: Callable[[dict[str, torch.Tensor]], None], source: Path | None = None) -> Path:
        folder = Path(shutil.copytree(source or teacher_of(), tmp_path / "damaged"))
        weights = load_file(folder / file)
        change(weights)
        save_file(weights, folder / file, metadata={"format": "pt"})
        if (folder / "manifest.json").exists():
            resize_in_manifest(folder)
        return folder

    return make


def poison(weights: dict[str, torch.Tensor]) -> None:
    """One number that is none."""
    weights[min(weights)].view(-1)[0] = float("nan")


def test_weights_that_are_not_numbers_are_found(damaged: Callable[..., Path], doctor: Any) -> None:
    code, _, wrong = doctor(damaged("adapter_model.safetensors", poison))
    assert code == 1
    assert wrong[0].startswith("finite numbers: ")
    assert "no collapse: not looked at: numbers are not finite" in wrong


@pytest.mark.parametrize(("readout", "code"), [("after_neck", 1), ("before_neck", 0)])
def test_a_neck_that_is_no_number_is_found_where_it_is_read(
    readout: str, code: int, loaded: Load, recipe: Recipes, tmp_path: Path, doctor: Any
) -> None:
    backbone, neck = loaded(), trained_neck(32)
    assert neck.norm.running_var is not None
    neck.norm.running_var[3] = float("nan")
    how = recipe(f"readout.embedding={readout}")
    found, _, wrong = doctor(write(tmp_path / "teacher", backbone, how, trained(backbone, levels()), neck))
    assert found == code
    assert [line for line in wrong if line.startswith("finite numbers: 97% of")] == wrong[:code]


@pytest.mark.parametrize("dead", [3, 32])
def test_dimensions_that_never_change_are_found(
    dead: int, base_of: Callable[..., Path], damaged: Callable[..., Path], recipe: Recipes, tmp_path: Path, doctor: Any
) -> None:
    def silence(weights: dict[str, torch.Tensor]) -> None:
        weights["model.norm.weight"][:dead] = 0

    base = damaged("model.safetensors", silence, base_of())
    (tmp_path / "how.yaml").write_text(dump_recipe(recipe()))
    code, _, wrong = doctor("--base", base, "--recipe", tmp_path / "how.yaml")
    assert code == 1
    (line,) = wrong
    assert line.startswith(f"no collapse: {dead} of 32 dimensions constant")


def test_a_store_is_compared_with_what_the_teacher_computes(
    people: Dataset, teacher_of: TeacherOf, tmp_path: Path, doctor: Any, reid: Any
) -> None:
    store = tmp_path / "store"
    reid("teacher", "embed", people.root, "--teacher", teacher_of(), "--out", store, "--device", "cpu")
    code, well, wrong = doctor(teacher_of(), "--store", store, "--rows", "30")
    assert (code, wrong) == (0, [])
    assert well[-1] == "store: 30 rows recomputed with cosine at least 0.999"
    done = reid("teacher", "doctor", teacher_of(seed=2), "--store", store, "--device", "cpu")
    assert done.code == 2
    assert done.err == f"error: {store}: was made by another model than {teacher_of(seed=2)}\n"


def test_a_store_that_holds_something_else_is_found(
    people: Dataset, teacher_of: TeacherOf, tmp_path: Path, doctor: Any, reid: Any
) -> None:
    """This model by the manifest, another's numbers in the shard."""
    store = tmp_path / "store"
    reid("teacher", "embed", people.root, "--teacher", teacher_of(seed=2), "--out", store, "--device", "cpu")
    manifest = json.loads((store / "manifest.json").read_text())
    manifest["details"]["fingerprint"]["model"] = read_manifest(teacher_of()).sha256
    (store / "manifest.json").write_text(json.dumps(manifest))
    code, _, wrong = doctor(teacher_of(), "--store", store, "--rows", "10")
    assert code == 1
    assert len(wrong) == 10
    assert all(re.fullmatch(r"store: .*: recomputed with cosine -?0\.\d+; expected at least 0\.999", x) for x in wrong)
