"""A training that is killed and taken up again ends as if nothing had happened; whatever else is asked is refused."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from children import wait_until

from reid.artifact import read_manifest
from reid.dataset import Dataset
from reid.errors import UserError
from reid.synthetic.world import World
from reid.synthetic.write import write_world
from teacher.recipe import dump_recipe
from teacher.settings import Recipe
from teacher.training.run import train
from teacher.training.state import newest_checkpoint, working_folder

CHANGES = [
    "training.epochs=[1,9]",
    "tuning.levels.language.stage=1",
    *(f"tuning.levels.{level}.dropout=0.3" for level in ("vision", "connector", "language")),
    "training.evaluate_every=3",
    "training.patience=5",
    "training.log_every=1",
]
"""Dropout and augmentation, a level that begins late, and an end that depends on the validations so far."""


@dataclass(frozen=True)
class Run:
    """The words of a training on the command line but for --out, and the folder that its result would have."""

    words: list[str]
    out: Path

    def copy(self, to: Path) -> Path:
        """The same state in another place; what it would be finished as."""
        shutil.copytree(working_folder(self.out), working_folder(to))
        return to


@pytest.fixture(scope="module")
def words(
    people: Dataset, base_of: Callable[..., Path], recipe: Callable[..., Recipe], tmp_path_factory: Any
) -> list[str]:
    """The training on the command line."""
    path = tmp_path_factory.mktemp("recipes") / "killed.yaml"
    path.write_text(dump_recipe(recipe(*CHANGES)))
    return ["teacher", "train", str(people.root), "--base", str(base_of()), "--recipe", str(path), "--device", "cpu"]


@pytest.fixture(scope="module")
def whole(people: Dataset, base_of: Callable[..., Path], recipe: Callable[..., Recipe], tmp_path_factory: Any) -> Path:
    """The result of the training that nobody interrupted."""
    out: Path = tmp_path_factory.mktemp("whole") / "teacher"
    train(people, recipe(*CHANGES), out, base=str(base_of()), device="cpu", say=lambda line: None)
    steps = read_manifest(out).details["steps"]
    # Of 50; it stopped early, after the language model had begun to train.
    assert 15 < steps < 50
    return out


@pytest.fixture(scope="module")
def killed(words: list[str], tmp_path_factory: Any) -> Run:
    """A training that was killed by SIGKILL while it wrote its second state, or a little later."""
    out = tmp_path_factory.mktemp("killed") / "teacher"
    child = subprocess.Popen([sys.executable, "-m", *words, "--out", out], stdout=subprocess.DEVNULL)
    wait_until((working_folder(out) / "checkpoint-6").exists, child)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    assert not out.exists()
    return Run(words, out)


def validations(out: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [row for row in rows if "eval_mAP" in row]


def losses(out: Path) -> list[dict[str, float]]:
    """What was logged of each step, but for the time that it took."""
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{key: row[key] for key in row if key != "idle"} for row in rows if "loss" in row]


def assert_same(out: Path, whole: Path) -> None:
    assert validations(out) == validations(whole)
    assert losses(out) == losses(whole)
    for name in ("adapter_model.safetensors", "neck.safetensors", "adapter_config.json", "recipe.yaml"):
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name
    ours, expected = read_manifest(out).details, read_manifest(whole).details
    assert ours["step"] == expected["step"]
    assert ours["validation"] == expected["validation"]


def test_a_killed_training_goes_on_as_if_nothing_had_happened(
    killed: Run, whole: Path, tmp_path: Path, reid: Any
) -> None:
    out = killed.copy(tmp_path / "teacher")
    checkpoint = newest_checkpoint(working_folder(out))
    assert checkpoint is not None
    done = reid(*killed.words, "--out", out, "--resume")
    assert done.code == 0, done.err
    assert f"going on from {checkpoint}" in done.out
    assert f"wrote {out}: validation mAP" in done.out
    # The steps before are not done again.
    begun = int(checkpoint.name.removeprefix("checkpoint-"))
    assert f"step {begun:>5} of" not in done.out
    assert f"step {begun + 1:>5} of" in done.out
    assert_same(out, whole)
    assert not working_folder(out).exists()


@pytest.mark.parametrize("damage", ["no state", "half a state", "no random numbers", "half of the random numbers"])
def test_a_state_that_was_cut_short_is_passed_over(
    damage: str, killed: Run, whole: Path, tmp_path: Path, reid: Any
) -> None:
    out = killed.copy(tmp_path / "teacher")
    newest = newest_checkpoint(working_folder(out))
    assert newest is not None
    cut = newest.with_name("checkpoint-1000")
    shutil.copytree(newest, cut)
    damaged = cut / ("trainer_state.json" if damage.endswith("state") else "rng_state.pth")
    content = damaged.read_bytes()
    damaged.unlink()
    if damage.startswith("half"):
        damaged.write_bytes(content[: len(content) // 2])
    done = reid(*killed.words, "--out", out, "--resume")
    assert done.code == 0, done.err
    assert f"going on from {newest}" in done.out
    assert_same(out, whole)


def test_a_training_without_a_whole_state_begins_at_the_beginning(
    killed: Run, whole: Path, tmp_path: Path, reid: Any
) -> None:
    out = killed.copy(tmp_path / "teacher")
    for state in working_folder(out).glob("checkpoint-*/trainer_state.json"):
        state.unlink()
    done = reid(*killed.words, "--out", out, "--resume")
    assert done.code == 0, done.err
    assert "nothing to go on from" in done.out
    assert_same(out, whole)


def test_a_training_that_was_interrupted_while_its_result_was_written_is_only_written(
    people: Dataset, base_of: Callable[..., Path], recipe: Callable[..., Recipe], whole: Path, tmp_path: Path
) -> None:
    def go(resume: bool) -> list[str]:
        told: list[str] = []
        how = recipe(*CHANGES)
        train(people, how, tmp_path / "out", base=str(base_of()), device="cpu", resume=resume, say=told.append)
        return told

    # Somebody else holds the folder that the result is written in.
    partial = tmp_path / "out.partial"
    partial.mkdir()
    lock = os.open(partial, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with pytest.raises(UserError, match="another process is writing it"):
        go(resume=False)
    os.close(lock)
    last = read_manifest(whole).details["steps"]
    assert f"going on from {working_folder(tmp_path / 'out') / f'checkpoint-{last}'}" in go(resume=True)
    assert validations(tmp_path / "out") == validations(whole)
    for name in ("adapter_model.safetensors", "neck.safetensors"):
        assert (tmp_path / "out" / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.fixture(scope="module")
def others(base_of: Callable[..., Path], whole: Path, tmp_path_factory: Any) -> dict[str, list[str]]:
    """What differs -> words that make it differ."""
    folder = tmp_path_factory.mktemp("others") / "people"
    world = World(seed=6, people=20, cameras=2, per_camera=1, sketches=1, captions=1, size=(32, 16), lookalikes=0)
    write_world(world, folder, progress=False)
    return {
        "recipe": ["--set", "training.seed=1"],
        "base": ["--base", str(base_of(seed=1))],
        "data": [str(folder)],
        "init": ["--init", str(whole)],
    }


@pytest.mark.parametrize("what", ["recipe", "base", "data", "init"])
def test_another_training_is_refused(
    what: str, others: dict[str, list[str]], killed: Run, tmp_path: Path, reid: Any
) -> None:
    out = killed.copy(tmp_path / "teacher")
    before = sorted(working_folder(out).rglob("*"))
    words = killed.words
    if what == "data":
        words = [*words[:2], *others[what], *words[3:]]
    done = reid(*words, *(others[what] if what != "data" else []), "--out", out, "--resume")
    assert done.code == 2
    assert done.err.splitlines()[-1] == (
        f"error: {working_folder(out)}: was begun with another {what}; use the same, or remove the folder"
    )
    assert sorted(working_folder(out).rglob("*")) == before


def test_a_training_of_another_number_of_processes_is_refused(killed: Run, tmp_path: Path, reid: Any) -> None:
    out = killed.copy(tmp_path / "teacher")
    started = working_folder(out) / "training.json"
    started.write_text(json.dumps({**json.loads(started.read_text()), "number of processes": "2"}))
    done = reid(*killed.words, "--out", out, "--resume")
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "was begun with another number of processes" in done.err


def test_a_training_under_way_is_not_begun_anew(killed: Run, tmp_path: Path, reid: Any) -> None:
    out = killed.copy(tmp_path / "teacher")
    done = reid(*killed.words, "--out", out)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "holds a training that was not finished; go on with --resume" in done.err


@pytest.mark.parametrize("more", [[], ["--resume"]], ids=["anew", "resume"])
def test_a_finished_training_is_left_alone(more: list[str], whole: Path, words: list[str], reid: Any) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    done = reid(*words, "--out", whole, *more)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert f"error: {whole}: already exists" in done.err
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before


def test_a_state_lacks_what_another_process_did_not_write(killed: Run, tmp_path: Path) -> None:
    folder = working_folder(killed.copy(tmp_path / "teacher"))
    one = newest_checkpoint(folder)
    assert one is not None
    shutil.copy(one / "rng_state.pth", one / "rng_state_0.pth")
    two = folder / "checkpoint-1000"
    shutil.copytree(one, two)
    for process in range(2):
        shutil.copy(one / "rng_state.pth", two / f"rng_state_{process}.pth")
    assert newest_checkpoint(folder, processes=2) == two
    (two / "rng_state_1.pth").unlink()
    assert newest_checkpoint(folder, processes=2) is None
