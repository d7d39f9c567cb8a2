"""Small bases: plain transformers loads them, the same seed makes the same, and they have seen RGB and text alone."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, Qwen2VLForConditionalGeneration

from reid.artifact import check_files, read_manifest
from reid.dataset import Dataset
from reid.errors import UserError
from teacher.cli.init import SIZES as NAMES
from teacher.tiny import SIZES, make_base

PEOPLE, STEPS = 32, 2


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float], list[str]]:
    """A base of seed 0, what making it returned, and the folders that were made meanwhile."""
    folders: list[str] = []
    watching = True

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event == "os.mkdir":
            folders.append(Path(os.fsdecode(arguments[0])).as_posix())

    sys.addaudithook(watch)
    out = tmp_path_factory.mktemp("tiny") / "base"
    losses = make_base(out, "tiny", 0, steps=STEPS, people=PEOPLE)
    watching = False
    return out, losses, folders


def files(base: Path) -> dict[str, bytes]:
    return {path.relative_to(base).as_posix(): path.read_bytes() for path in base.rglob("*") if path.is_file()}


def test_plain_transformers_loads_it(made: tuple[Path, Any, Any]) -> None:
    base, _, _ = made
    model, loaded = Qwen2VLForConditionalGeneration.from_pretrained(base, output_loading_info=True)
    assert not any(loaded[what] for what in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    tokenizer = AutoTokenizer.from_pretrained(base)
    assert len(tokenizer) == model.config.text_config.vocab_size
    for name, attribute in [("image_pad", "image_token_id"), ("vision_start", "vision_start_token_id")]:
        assert tokenizer.convert_ids_to_tokens(getattr(model.config, attribute)) == f"<|{name}|>"
    told = "A woman in a red coat."
    assert tokenizer.decode(tokenizer(told)["input_ids"]) == told
    logits = model(**tokenizer(told, return_tensors="pt")).logits
    assert logits.shape[-1] == len(tokenizer)
    assert bool(torch.isfinite(logits).all())


def test_it_is_an_artifact_that_tells_its_losses(made: tuple[Path, dict[str, float], Any]) -> None:
    base, losses, _ = made
    manifest = read_manifest(base)
    assert (manifest.kind, check_files(base, manifest)) == ("base", [])
    assert losses
    assert all(math.isfinite(loss) and loss > 0 for loss in losses.values())
    assert manifest.details["losses"] == losses
    assert manifest.details["people"] == PEOPLE


def test_infrared_and_sketches_are_never_drawn(made: tuple[Path, Any, list[str]]) -> None:
    kinds = {Path(folder).name for folder in made[2] if Path(folder).parent.name == "images"}
    assert kinds == {"rgb"}


def test_another_seed_makes_another_base(made: tuple[Path, dict[str, float], Any], tmp_path: Path) -> None:
    base, losses, _ = made
    assert make_base(tmp_path / "other", "tiny", 1, steps=STEPS, people=PEOPLE) != losses
    assert files(tmp_path / "other")["model.safetensors"] != files(base)["model.safetensors"]


def test_without_steps_the_weights_are_as_drawn(made: tuple[Path, Any, Any], tmp_path: Path) -> None:
    assert make_base(tmp_path / "raw", "tiny", 0, steps=0, people=PEOPLE) == {}
    raw, trained = files(tmp_path / "raw"), files(made[0])
    assert raw["tokenizer.json"] == trained["tokenizer.json"]
    assert raw["model.safetensors"] != trained["model.safetensors"]


def test_a_folder_that_is_there_is_refused(made: tuple[Path, Any, Any], reid: Any) -> None:
    before = files(made[0])
    with pytest.raises(UserError, match="already exists"):
        make_base(made[0])
    done = reid("teacher", "init", "--out", made[0])
    assert (done.code, done.out) == (2, "")
    assert done.err == f"error: {made[0]}: already exists; choose another name or remove it first\n"
    assert files(made[0]) == before


def test_the_command_names_all_sizes() -> None:
    assert set(NAMES) == set(SIZES)


def test_the_same_seed_makes_the_same_base_and_the_command_tells_the_losses(
    made: tuple[Path, dict[str, float], Any], tmp_path: Path, reid: Any
) -> None:
    torch.manual_seed(77)  # What was drawn before does not matter.
    done = reid("teacher", "init", "--out", tmp_path / "base", "--steps", STEPS, "--people", PEOPLE)
    assert done.code == 0, done.err
    ends = ", ".join(f"{name} {loss:.2f}" for name, loss in made[1].items())
    expected = f"wrote {tmp_path / 'base'}: Qwen2-VL of size tiny, pre-trained to losses of {ends} nats\n"
    assert done.out == expected
    assert files(tmp_path / "base") == files(made[0])


def test_the_command_keeps_a_base_that_is_there_and_training_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reid: Callable[..., Any], people: Dataset
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["teacher", "init", "--seed", 4, "--steps", 0, "--people", PEOPLE]
    assert reid(*words).out == "wrote runs/base/tiny-4: Qwen2-VL of size tiny, not pre-trained\n"
    before = files(tmp_path / "runs" / "base" / "tiny-4")
    second = reid(*words)
    assert (second.code, second.err) == (0, "")
    assert second.out == "runs/base/tiny-4 is there already; remove it to make it again\n"
    assert files(tmp_path / "runs" / "base" / "tiny-4") == before
    trained = reid("teacher", "train", people.root, "--set", "training.max_steps=1", "--device", "cpu")
    assert trained.code == 0, trained.err
    assert "taking the newest base, runs/base/tiny-4, with the recipe mllmembed-tiny" in trained.err
    parents = {parent.kind for parent in read_manifest(tmp_path / "runs" / "teacher" / "mllmembed-tiny").parents}
    assert parents == {"dataset", "base"}
