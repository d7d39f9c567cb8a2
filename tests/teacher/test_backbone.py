"""What is no supported base is refused in one line that names what is wrong with it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from reid.dataset import Dataset

BaseOf = Callable[..., Path]


def bert(base: Path) -> None:
    (base / "config.json").write_text(json.dumps({"model_type": "bert"}))


def unheard_of(base: Path) -> None:
    (base / "config.json").write_text(json.dumps({"model_type": "unheard-of"}))


def half_a_config(base: Path) -> None:
    (base / "config.json").write_text((base / "config.json").read_text()[:50])


def a_word_for_a_number(base: Path) -> None:
    config = json.loads((base / "config.json").read_text())
    config["vision_config"]["depth"] = "two"
    (base / "config.json").write_text(json.dumps(config))


def no_config(base: Path) -> None:
    (base / "config.json").unlink()


def no_tokenizer(base: Path) -> None:
    for path in base.glob("token*"):
        path.unlink()


def plain_tokenizer(base: Path) -> None:
    """The tokens of images are words like others."""
    raw = json.loads((base / "tokenizer.json").read_text())
    raw["added_tokens"] = [token for token in raw["added_tokens"] if token["content"] == "<|endoftext|>"]
    (base / "tokenizer.json").write_text(json.dumps(raw))
    (base / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "Qwen2Tokenizer"}))


def no_weights(base: Path) -> None:
    (base / "model.safetensors").unlink()


def half_of_the_weights(base: Path) -> None:
    content = (base / "model.safetensors").read_bytes()
    (base / "model.safetensors").write_bytes(content[: len(content) // 2])


def a_pickle(base: Path) -> None:
    torch.save(load_file(base / "model.safetensors"), base / "pytorch_model.bin")
    (base / "model.safetensors").unlink()


def a_weight_less(base: Path) -> None:
    weights = load_file(base / "model.safetensors")
    del weights["visual.merger.mlp.0.weight"]
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})


def a_weight_more(base: Path) -> None:
    weights = {**load_file(base / "model.safetensors"), "visual.other": torch.zeros(1)}
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})


FAMILIES = "Qwen2-VL (qwen2_vl), Qwen2.5-VL (qwen2_5_vl), Qwen3-VL (qwen3_vl), LLaVA-1.5 (llava), LLaVA-OneVision"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (bert, f"model_type 'bert' is no supported multimodal LLM; supported: {FAMILIES}"),
        (unheard_of, f"model_type 'unheard-of' is no supported multimodal LLM; supported: {FAMILIES}"),
        (half_a_config, "not a JSON file"),
        (a_word_for_a_number, "config.json: not the config of a qwen2_vl (Validation error for field 'depth'"),
        (no_config, "has no config.json; expected a folder that save_pretrained wrote"),
        (no_tokenizer, "the tokenizer has no image token with id"),
        (plain_tokenizer, "the tokenizer has no image token with id"),
        (no_weights, "its weights do not load"),
        (half_of_the_weights, "its weights do not load"),
        (a_pickle, "its weights do not load"),
        (a_weight_less, "MISSING weights: model.visual.merger.mlp.0.weight (1 such keys)"),
        (a_weight_more, "UNEXPECTED weights: model.visual.other (1 such keys)"),
    ],
)
def test_a_base_that_is_none_is_refused(
    damage: Callable[[Path], None], said: str, base_of: BaseOf, people: Dataset, how: Path, tmp_path: Path, refused: Any
) -> None:
    base = Path(shutil.copytree(base_of(), tmp_path / "base"))
    damage(base)
    for command in ("train", "embed"):
        line = refused(command, people.root, "--base", base, "--recipe", how, "--out", tmp_path / "out")
        assert line.startswith(str(base))
        assert said in line


def test_a_base_that_is_not_there_is_refused(people: Dataset, how: Path, tmp_path: Path, refused: Any) -> None:
    line = refused("train", people.root, "--base", tmp_path / "nothing", "--recipe", how, "--out", tmp_path / "out")
    assert line.startswith(f"{tmp_path / 'nothing'}: is no folder of a model")


def test_a_base_whose_numbers_are_none_is_refused(
    base_of: BaseOf, people: Dataset, how: Path, tmp_path: Path, refused: Any
) -> None:
    base = Path(shutil.copytree(base_of(), tmp_path / "base"))
    weights = load_file(base / "model.safetensors")
    weights["model.norm.weight"][0] = float("nan")
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    line = refused("embed", people.root, "--base", base, "--recipe", how, "--out", tmp_path / "out")
    assert "embeddings are NaN, infinite or zero" in line
    assert people.samples[0].sample_id in line


def test_a_base_from_the_hub_is_the_same_in_a_folder(base_of: BaseOf, tmp_path: Path) -> None:
    """The hub's own cache, as it is after a download; a process that may not ask the network."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "hub" / "models--someone--small"
    shutil.copytree(base_of(), cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    code = (
        "import sys; from teacher.backbone import load_backbone; from teacher.settings import Image\n"
        "size = Image(height=56, width=28)\n"
        "a, b = load_backbone('someone/small', size, revision='main').base, load_backbone(sys.argv[1], size).base\n"
        "print(a.name, a.revision, a.digest == b.digest, b.revision)"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(base_of())], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["someone/small", commit, "True", "None"], done.stderr
