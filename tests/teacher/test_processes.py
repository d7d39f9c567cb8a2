"""Two processes under torchrun train what one would: the same losses, term by term, and the same weights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from children import DEADLINE, wait_until
from safetensors.torch import load_file

from reid.artifact import read_manifest
from reid.dataset import Dataset
from teacher.recipe import dump_recipe
from teacher.settings import Recipe
from teacher.training.run import train
from teacher.training.state import newest_checkpoint, working_folder

COMMON = [
    *(f"objective.{term}.weight=0.5" for term in ("id", "triplet", "sdm", "infonce", "centres")),
    "training.epochs=[1,2]",
    "tuning.levels.language.stage=1",
    "training.evaluate_every=2",
]
IN_PARTS = ["training.accumulate=2", "training.chunk=7"]
"""Of a process's 8 samples the last passes the model alone: often a sentence, which the vision tower has no part in."""

Train = Callable[[Path, Sequence[str]], Path]


@pytest.fixture
def alone(people: Dataset, base_of: Callable[..., Path], recipe: Callable[..., Recipe], tmp_path: Path) -> Train:
    """alone(out, changes) trains in this process."""

    def run(out: Path, changes: Sequence[str]) -> Path:
        train(people, recipe(*changes), out, base=str(base_of()), device="cpu", say=lambda line: None)
        return out

    return run


@pytest.fixture
def words(
    people: Dataset, base_of: Callable[..., Path], recipe: Callable[..., Recipe], tmp_path: Path
) -> Callable[[Path, Sequence[str]], list[str]]:
    """words(out, changes) is the training in two processes."""

    def of(out: Path, changes: Sequence[str]) -> list[str]:
        path = tmp_path / "processes.yaml"
        path.write_text(dump_recipe(recipe(*changes)))
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        training = ["-m", "teacher", "train", str(people.root), "--base", str(base_of()), "--device", "cpu"]
        return [*launcher, *training, "--recipe", str(path), "--out", str(out)]

    return of


def finish(words: Sequence[str]) -> str:
    """What a run prints on standard output."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def log(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def assert_alike(together: Path, alone: Path) -> None:
    ours, expected = log(together), log(alone)
    assert [row["step"] for row in ours] == [row["step"] for row in expected]
    # The last line is about time.
    for row, other in zip(ours[:-1], expected[:-1], strict=True):
        assert row.keys() == other.keys()
        for key in row.keys() - {"idle"}:
            assert row[key] == pytest.approx(other[key], rel=1e-3, abs=1e-4), f"step {row['step']}: {key}"
    terms = {key for row in ours for key in row if key.startswith("term/")}
    assert terms == {"term/id", "term/triplet", "term/sdm", "term/infonce", "term/centres"}
    assert read_manifest(together).details["step"] == read_manifest(alone).details["step"]
    for name in ("adapter_model.safetensors", "neck.safetensors"):
        found, wanted = load_file(together / name), load_file(alone / name)
        # A thousandth of what a step of AdamW moves a weight by.
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-3, msg=lambda m, n=name: f"{n}: {m}")


def test_two_processes_train_what_one_does(alone: Train, words: Callable[..., list[str]], tmp_path: Path) -> None:
    expected = alone(tmp_path / "one", COMMON)
    told = finish(words(tmp_path / "two", COMMON))
    assert_alike(tmp_path / "two", expected)
    # One of them speaks.
    assert told.count("trainable:") == told.count("wrote") == 1


def test_two_processes_of_which_one_was_killed_go_on(
    alone: Train, words: Callable[..., list[str]], tmp_path: Path
) -> None:
    """And it makes no difference when batches are accumulated and pass the model in chunks."""
    changes, out = [*COMMON, *IN_PARTS, "training.epochs=[2,4]"], tmp_path / "two"
    expected = alone(tmp_path / "one", changes)
    launcher = subprocess.Popen(words(out, changes), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until((working_folder(out) / "checkpoint-4").exists, launcher)
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    assert launcher.wait(timeout=DEADLINE) != 0
    assert not out.exists()
    assert newest_checkpoint(working_folder(out), processes=2) is not None
    assert "going on from" in finish([*words(out, changes), "--resume"])
    assert_alike(out, expected)
