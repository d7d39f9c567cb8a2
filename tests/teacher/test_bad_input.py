"""What a user can do wrong is told in one line and exit code 2, and nothing half-written stays behind."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from reid.dataset import Dataset
from reid.embeddings import EmbeddingStore

BaseOf = Callable[..., Path]
SHAPES = {"one": (1, 1), "wide": (3000, 1), "high": (1, 3000), "large": (500, 900)}


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """Images of odd sizes and kinds, of two people."""
    folder = tmp_path / "odd"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for name, (width, height) in SHAPES.items():
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(folder / f"{name}.png")
        rows.append({"image": f"{name}.png", "person_id": "a", "split": "train"})
    kinds = {"16-bit": Image.fromarray(rng.integers(0, 2**16, (20, 10), dtype=np.uint16))}
    for mode in ("L", "1", "P", "RGBA", "CMYK"):
        kinds[mode] = Image.fromarray(rng.integers(0, 256, (20, 10), dtype=np.uint8)).convert(mode)
    for name, image in kinds.items():
        image.save(folder / f"{name}.tif")
        rows.append({"image": f"{name}.tif", "person_id": "b", "split": "train"})
    rows.append({"text": "A man.", "person_id": "a", "split": "train"})
    rows.append({"text": "A woman in red.", "person_id": "b", "split": "train"})
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_images_of_any_size_and_kind_are_embedded(
    odd: Path, base_of: BaseOf, how: Path, tmp_path: Path, reid: Any
) -> None:
    words = ["--base", base_of(), "--recipe", how, "--device", "cpu"]
    done = reid("teacher", "embed", odd, *words, "--out", tmp_path / "store")
    assert (done.code, done.err) == (0, "")
    embeddings = EmbeddingStore.open(tmp_path / "store").embeddings()
    assert len(embeddings) == 12
    assert np.isfinite(embeddings).all()
    assert len(np.unique(embeddings.round(2), axis=0)) == 12


def test_two_modalities_are_enough_to_train_on(
    odd: Path, base_of: BaseOf, how: Path, tmp_path: Path, reid: Any
) -> None:
    words = ["--base", base_of(), "--recipe", how, "--device", "cpu"]
    done = reid("teacher", "train", odd, *words, "--out", tmp_path / "t")
    assert (done.code, done.err) == (0, "")
    assert "training on 2 people: 10 rgb, 2 text" in done.out
    assert "note: no ir, sketch to train on; nothing is learnt about it" in done.out
    assert "note: batches of 2 people instead of 4: there are no more" in done.out
    assert reid("teacher", "doctor", tmp_path / "t", "--device", "cpu").code == 0


@pytest.mark.parametrize("command", ["train", "embed"])
def test_an_image_that_does_not_decode_is_named(
    command: str, odd: Path, base_of: BaseOf, how: Path, tmp_path: Path, reid: Any
) -> None:
    for name in SHAPES:
        path = odd / f"{name}.png"
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    options = ["--base", base_of(), "--recipe", how, "--device", "cpu", "--out", tmp_path / "out"]
    words = ["teacher", command, odd, *options]
    done = reid(*words)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert re.match(rf"error: {odd}/({'|'.join(SHAPES)})\.png: does not decode as an image", done.err)
    assert [path.name for path in tmp_path.glob("out*")] == []
    done = reid(*words, "--skip-broken")
    notes = {"train": "note: left out 4 samples whose image does not decode\n", "embed": ""}
    assert (done.code, done.err) == (0, notes[command])
    assert command == "train" or "left out 4 whose image does not decode" in done.out
    counted = {"train": "training on 2 people: 6 rgb, 2 text", "embed": ": 8 samples, 32 dimensions"}
    assert counted[command] in done.out


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("training.max_step", "unknown key 'training.max_step'; the nearest known key is 'training.max_steps'"),
        ("trainings.seed", "unknown key 'trainings'; the nearest known key is 'training'"),
        (
            "tuning.levels.vision.rnak",
            "unknown key 'tuning.levels.vision.rnak'; the nearest known key is 'tuning.levels.vision.rank'",
        ),
    ],
)
def test_an_unknown_key_of_a_recipe_is_refused(
    key: str, said: str, base_of: BaseOf, people: Dataset, how: Path, tmp_path: Path, refused: Any
) -> None:
    """With the nearest that is known, on the command line and in a file."""
    words = ["train", people.root, "--base", base_of(), "--out", tmp_path / "out", "--recipe"]
    assert refused(*words, how, "--set", f"{key}=3") == f"recipe {how}: {said}"
    raw: Any = 3
    for part in reversed(key.split(".")):
        raw = {part: raw}
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(json.dumps({"extends": str(how), **raw}))
    assert refused(*words, wrong) == f"recipe {wrong}: {said}"


@pytest.mark.parametrize("command", ["train", "embed"])
def test_what_is_there_already_is_left_alone(
    command: str, base_of: BaseOf, people: Dataset, how: Path, tmp_path: Path, refused: Any
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    line = refused(command, people.root, "--base", base_of(), "--recipe", how, "--out", out)
    assert line == f"{out}: already exists; choose another name or remove it first"


def test_options_that_do_not_go_together_are_refused(
    people: Dataset, teacher_of: BaseOf, how: Path, tmp_path: Path, refused: Any
) -> None:
    out = ["--out", tmp_path / "out"]
    line = refused("embed", people.root, "--teacher", teacher_of(), "--recipe", how, *out)
    assert line.startswith(f"{teacher_of()}: a checkpoint has its recipe; --recipe")
    line = refused("embed", people.root, "--teacher", people.root, *out)
    assert line == f"{people.root}: is an artifact of kind 'dataset'; expected 'teacher'"
    line = refused("embed", tmp_path / "nothing", "--teacher", teacher_of(), *out)
    assert line.startswith(str(tmp_path / "nothing"))
    line = refused("train", people.root, "--base", teacher_of(), "--recipe", how, *out)
    assert line.startswith(f"{teacher_of()}: has no config.json")
    line = refused("train", people.root, "--base", "x", "--init", people.root, "--recipe", "mllmembedd", *out)
    assert line.startswith("recipe 'mllmembedd' is not known; did you mean mllmembed?")
    if not torch.cuda.is_available():
        line = refused("embed", people.root, "--teacher", teacher_of(), "--device", "cuda", *out)
        assert line == "--device cuda: no GPU is there; use --device cpu"
