"""`distill run`: what it makes, what it refuses, and that nothing that happens to it changes the result."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from children import DEADLINE, wait_until
from knowing_stores import write_store
from safetensors.torch import load_file

from distill.distiller import distil_to
from distill.recipe import dump_recipe
from distill.settings import DistillRecipe
from distill.training.run import Source, distil
from reid.artifact import check_files, read_manifest
from reid.dataset import Dataset
from reid.embeddings import EmbeddingStore
from reid.errors import UserError
from reid.subspace import Subspace
from student.checkpoint import load_student
from teacher.training.state import newest_checkpoint, working_folder

Recipes = Callable[..., DistillRecipe]
QUIET: Any = lambda line: None  # noqa: E731


def words(store: EmbeddingStore, recipe: DistillRecipe, folder: Path) -> list[str]:
    """A run on the command line but for --out."""
    path = folder / "recipe.yaml"
    path.write_text(dump_recipe(recipe))
    return ["distill", "run", "--teacher", str(store.path), "--student", "vit-micro", "--recipe", str(path),
            "--device", "cpu"]  # fmt: skip


def log(out: Path) -> list[dict[str, float]]:
    """What was logged, but for time."""
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{key: row[key] for key in row if key != "idle"} for row in rows if "train_runtime" not in row]


def assert_same(out: Path, whole: Path) -> None:
    assert log(out) == log(whole)
    for name in ("model.safetensors", "subspace.safetensors", "config.json", "recipe.yaml"):
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name
    assert read_manifest(out).details == read_manifest(whole).details


@pytest.fixture(scope="module")
def whole(store: EmbeddingStore, recipe: Recipes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result of a run that nobody interrupted, with a neck, a moving average and several validations."""
    out = tmp_path_factory.mktemp("whole") / "student"
    distil_to(out, store.path, "vit-micro", recipe("objective.id.weight=0.1"), device="cpu", say=QUIET)
    return out


def test_the_artifact_is_whole_and_the_student_aims_at_the_stores_coordinates(
    whole: Path, store: EmbeddingStore
) -> None:
    manifest = read_manifest(whole)
    assert manifest.kind == "student"
    assert not check_files(whole, manifest)
    assert {parent.kind for parent in manifest.parents} == {"embeddings", "dataset"}
    subspace, student = Subspace.load(whole / "subspace.safetensors"), load_student(whole)
    assert subspace.teacher == store.manifest.sha256
    assert student.config.dim == subspace.rank == 8
    assert not working_folder(whole).exists()


def test_the_loss_falls_and_the_best_validation_is_kept(whole: Path) -> None:
    rows = log(whole)
    losses = [row["term/pcm"] for row in rows if "term/pcm" in row]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    validated = {int(row["step"]): row["eval_mAP"] for row in rows if "eval_mAP" in row}
    details = read_manifest(whole).details
    assert len(validated) > 1
    assert details["validation"]["mAP"] == max(validated.values()) == validated[details["step"]]


def test_what_is_kept_is_the_moving_average(source: Source, recipe: Recipes, tmp_path: Path) -> None:
    """With decay 0 the last weights are kept; with a decay near 1 they are not, and lie nearer to the beginning."""
    found = {}
    for ema in (0, 0.9):
        run = distil(
            source, "vit-micro", recipe(f"training.ema={ema}", "training.evaluate_every=100"), tmp_path / str(ema),
            device="cpu", say=QUIET,
        )  # fmt: skip
        assert run is not None
        found[ema] = torch.cat([weight.detach().flatten() for weight in run.module.student.parameters()])
    beginning = distil(
        source, "vit-micro", recipe("training.ema=0", "training.max_steps=1", "training.lr=1e-12"),
        tmp_path / "beginning", device="cpu", say=QUIET,
    )  # fmt: skip
    assert beginning is not None
    start = torch.cat([weight.detach().flatten() for weight in beginning.module.student.parameters()])
    assert 0 < (found[0.9] - start).norm() < (found[0] - start).norm()


def test_a_killed_run_goes_on_to_the_same_bytes(
    whole: Path, store: EmbeddingStore, recipe: Recipes, tmp_path: Path, reid: Any
) -> None:
    out = tmp_path / "student"
    command = [*words(store, recipe("objective.id.weight=0.1"), tmp_path), "--out", str(out)]
    child = subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.DEVNULL)
    wait_until((working_folder(out) / "checkpoint-6").exists, child)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    assert not out.exists()
    again = reid(*command)
    assert again.code == 2
    assert "--resume" in again.err
    done = reid(*command, "--resume")
    assert done.code == 0, done.err
    assert "going on from" in done.out
    assert_same(out, whole)


def test_ctrl_c_saves_and_exits_with_130(
    whole: Path, store: EmbeddingStore, recipe: Recipes, tmp_path: Path, reid: Any
) -> None:
    out = tmp_path / "student"
    command = [*words(store, recipe("objective.id.weight=0.1"), tmp_path), "--out", str(out)]
    with subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            # After the first steps, before the first validation would have saved anything.
            if line.startswith("step     1"):
                break
        child.send_signal(signal.SIGINT)
        rest = child.stdout.read()
        assert child.wait(timeout=DEADLINE) == 130
    assert "go on with --resume" in rest
    checkpoint = newest_checkpoint(working_folder(out))
    assert checkpoint is not None
    assert reid(*command, "--resume").code == 0
    assert_same(out, whole)


def test_two_processes_train_what_one_does(whole: Path, store: EmbeddingStore, recipe: Recipes, tmp_path: Path) -> None:
    out = tmp_path / "student"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    command = [*launcher, *words(store, recipe("objective.id.weight=0.1"), tmp_path), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("wrote") == 1
    for row, other in zip(log(out), log(whole), strict=True):
        assert row.keys() == other.keys()
        for key in row:
            assert row[key] == pytest.approx(other[key], rel=1e-3, abs=1e-4), f"step {row['step']}: {key}"
    torch.testing.assert_close(
        load_file(out / "model.safetensors"), load_file(whole / "model.safetensors"), atol=1e-4, rtol=1e-3
    )


def test_a_loss_that_is_no_number_names_its_samples_and_keeps_the_last_checkpoint(
    source: Source, recipe: Recipes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distill.training import model

    real, steps = model.evaluate_terms, []

    def poisoned(*given: Any) -> Any:
        total, terms = real(*given)
        steps.append(1)
        return (total * float("nan") if len(steps) == 5 else total), terms

    monkeypatch.setattr(model, "evaluate_terms", poisoned)
    out = tmp_path / "student"
    with pytest.raises(UserError, match=r"step 5: the loss is not a number \(pcm .*\) on samples \S+, ") as refused:
        distil(source, "vit-micro", recipe(), out, device="cpu", say=QUIET)
    named = str(refused.value).split("on samples ")[1].split(" and ")[0].split(", ")
    assert set(named) <= {sample.sample_id for sample in source.dataset.samples}
    checkpoint = newest_checkpoint(working_folder(out))
    assert checkpoint is not None
    assert checkpoint.name == "checkpoint-3"


def test_an_output_that_is_there_is_never_replaced_silently(
    whole: Path, store: EmbeddingStore, recipe: Recipes, tmp_path: Path, reid: Any
) -> None:
    out = tmp_path / "student"
    shutil.copytree(whole, out)
    before = read_manifest(out).sha256
    command = [*words(store, recipe("training.max_steps=2"), tmp_path), "--out", str(out)]
    refused = reid(*command)
    assert refused.code == 2
    assert str(out) in refused.err
    assert "--overwrite" in refused.err
    assert read_manifest(out).sha256 == before
    assert reid(*command, "--overwrite").code == 0
    assert read_manifest(out).details["steps"] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recipe.yaml", "student"]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--student", "vit-mikro"], "vit-micro"),
        (["--rank", "33"], "32"),
        (["--set", "objective.pmc.weight=1"], "objective.pcm"),
        (["--resume", "--overwrite"], "--overwrite"),
        (["--set", "training.epochs=[1,2]"], "stages"),
        (["--views", "2"], "adaptive-svd-views"),
        (["--views", "2", "--set", "augmentation.flip=0.5"], "checkpoint"),
        (["--set", "text.train=true"], "tokenizer"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    more: list[str], told: str, store: EmbeddingStore, tmp_path: Path, reid: Any, recipe: Recipes
) -> None:
    out = tmp_path / "student"
    command = [*words(store, recipe(), tmp_path), "--out", str(out), *more]
    done = reid(*command)
    assert done.code == 2
    error = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1
    assert told in error[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recipe.yaml"]


def test_a_store_of_other_data_is_refused(
    store: EmbeddingStore, people: Dataset, tmp_path: Path, recipe: Recipes, reid: Any
) -> None:
    other = tmp_path / "other"
    shutil.copytree(people.root, other)
    image = next(sample.image for sample in people.samples if sample.image is not None)
    (other / image.relative_to(people.root)).write_bytes(b"another")
    done = reid(*words(store, recipe(), tmp_path), "--out", tmp_path / "student", "--data", other)
    assert done.code == 2
    assert "data's fingerprint differs" in done.err


def test_sentences_that_the_store_lacks_are_told(people: Dataset, tmp_path: Path, recipe: Recipes) -> None:
    seen = [sample for sample in people.samples if sample.modality.is_image]
    partial = write_store(people, tmp_path / "store", seen)
    said: list[str] = []
    distil_to(
        tmp_path / "student", partial.path, "vit-micro", recipe("training.max_steps=2"), device="cpu", say=said.append
    )
    missing = len(people.samples) - len(seen)
    assert any(f"no embedding of {missing} text" in line for line in said)


def test_the_newest_store_is_taken_where_none_is_named(
    store: EmbeddingStore, tmp_path: Path, recipe: Recipes, reid: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(store.path, tmp_path / "runs" / "store")
    command = words(store, recipe("training.max_steps=1"), tmp_path)
    command = [word for word in command if word not in ("--teacher", str(store.path))]
    done = reid(*command)
    assert done.code == 0, done.err
    assert "taking the newest teacher, runs/store" in done.out + done.err
    assert (tmp_path / "runs" / "student" / "vit-micro-small" / "manifest.json").is_file()
    assert [path.name for path in (tmp_path / "runs" / "student").iterdir()] == ["vit-micro-small"]


def test_recomputed_activations_change_nothing(source: Source, recipe: Recipes, tmp_path: Path) -> None:
    found = []
    for recompute in (False, True):
        changes = ["training.max_steps=2", f"training.recompute={str(recompute).lower()}"]
        run = distil(source, "vit-micro", recipe(*changes), tmp_path / str(recompute), device="cpu", say=QUIET)
        assert run is not None
        assert run.module.student.is_gradient_checkpointing is recompute
        found.append(run.module.student.state_dict())
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-6)


def test_an_orthogonal_head_stays_orthogonal_and_is_saved_as_a_plain_one(
    store: EmbeddingStore, recipe: Recipes, tmp_path: Path
) -> None:
    how = recipe("student.head=orthogonal", "training.max_steps=3", "training.ema=0.5", "training.evaluate_every=2")
    distil_to(tmp_path / "student", store.path, "vit-micro", how, device="cpu", say=QUIET)
    weight = load_student(tmp_path / "student").head.weight.detach()
    torch.testing.assert_close(weight @ weight.T, torch.eye(8), atol=1e-4, rtol=0)


def test_a_run_killed_after_its_last_step_takes_no_further_one(source: Source, recipe: Recipes, tmp_path: Path) -> None:
    """Its artifact was not written yet, and the last step is not the end of an epoch."""
    how = recipe("training.max_steps=3", "training.evaluate_every=1")
    first = distil(source, "vit-micro", how, tmp_path / "student", device="cpu", say=QUIET)
    again = distil(source, "vit-micro", how, tmp_path / "student", device="cpu", resume=True, say=QUIET)
    assert first is not None
    assert again is not None
    assert again.steps == first.steps == 3
    torch.testing.assert_close(again.module.student.state_dict(), first.module.student.state_dict(), rtol=0, atol=0)
