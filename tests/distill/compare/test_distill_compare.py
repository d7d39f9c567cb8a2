"""`distill compare`: every recipe with every seed, kept, gone on with, scored; and what is refused."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distill.compare.outcome import training_seconds
from distill.compare.plan import plan
from distill.compare.run import Comparison, compare
from distill.evaluation.artifact import open_distilled
from distill.evaluation.result import evaluate_student
from distill.training.run import Source, distil
from reid.artifact import read_manifest
from reid.embeddings import EmbeddingStore
from reid.errors import UserError
from student.checkpoint import KIND
from teacher.training.state import working_folder

RECIPES = ("adaptive-svd", "mse")
CHANGES = (
    "image.height=64", "image.width=32", "spectrum.min_rank=4", "spectrum.max_rank=8", "spectrum.multiple=4",
    "sampling.people=4", "training.epochs=[1]", "training.evaluate_every=3", "training.log_every=1",
)  # fmt: skip
LABELS = ["adaptive-svd-0", "mse-0", "adaptive-svd-1", "mse-1"]


def words(store: EmbeddingStore, out: Path, *more: object) -> list[str]:
    changes = [word for change in CHANGES for word in ("--set", change)]
    command = ["distill", "compare", "--teacher", store.path, "--student", "vit-micro", "--seeds", "2", "--out", out,
               "--recipes", ",".join(RECIPES), "--device", "cpu", *changes, *more]  # fmt: skip
    return [str(word) for word in command]


class Stopping:
    """Takes the lines of a comparison and presses Ctrl-C at the one that begins so, as often as is said."""

    def __init__(self, at: str, after: int) -> None:
        self.at, self.after, self.lines = at, after, list[str]()

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        if line.startswith(self.at):
            self.after -= 1
            if self.after == 0:
                signal.raise_signal(signal.SIGINT)


def go_on(store: EmbeddingStore, out: Path, say: Callable[[str], None]) -> Comparison:
    return compare(out, store.path, "vit-micro", RECIPES, seeds=2, changes=CHANGES, device="cpu", say=say)


@pytest.fixture(scope="module")
def done(store: EmbeddingStore, source: Source, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison stopped in its second run and gone on with; the third had been killed in its last moment."""
    out = tmp_path_factory.mktemp("compare") / "runs"
    with pytest.raises(KeyboardInterrupt):
        go_on(store, out, Stopping("training on", 3))
    early = json.loads((out / "compare.json").read_text())
    assert [(run["recipe"], run["seed"]) for run in early["runs"]] == [("adaptive-svd", 0)]
    assert "3 of 4 runs are still to come" in (out / "compare.txt").read_text()
    before = read_manifest(out / LABELS[0]).sha256
    third = plan(RECIPES, 2, CHANGES, out)[2]
    # Trained, and not written.
    distil(source, "vit-micro", third.recipe, third.place, device="cpu", say=lambda line: None)
    assert working_folder(third.place).is_dir()
    going = Stopping("", -1)
    found = go_on(store, out, going)
    assert f"{out / LABELS[0]} is finished and kept" in going.lines
    assert sum(line.startswith("going on from") for line in going.lines) == 1
    assert f"{found}\n" == (out / "compare.txt").read_text()
    assert read_manifest(out / LABELS[0]).sha256 == before
    return out


def test_every_run_is_a_student_of_the_same_store_and_its_own_recipe(done: Path, store: EmbeddingStore) -> None:
    assert sorted(path.name for path in done.iterdir()) == sorted([*LABELS, "compare.json", "compare.txt"])
    for label in LABELS:
        manifest = read_manifest(done / label)
        recipe, _, seed = label.rpartition("-")
        assert manifest.kind == KIND
        assert (manifest.writer["recipe"], manifest.writer["seed"]) == (recipe, int(seed))
        assert store.manifest.sha256 in {parent.manifest_sha256 for parent in manifest.parents}
        assert (manifest.details["student"], manifest.details["steps"]) == ("vit-micro", 4)


def test_the_scores_are_those_of_distill_eval(done: Path) -> None:
    found = json.loads((done / "compare.json").read_text())
    assert [(run["recipe"], run["seed"]) for run in found["runs"]] == [(r, s) for r in RECIPES for s in (0, 1)]
    for run in found["runs"]:
        place = done / f"{run['recipe']}-{run['seed']}"
        report = evaluate_student(open_distilled(place, device="cpu", say=lambda line: None).coordinates())
        assert run["deployed"] == pytest.approx({str(m): value for m, value in report.scores.mean_ap().items()})
        assert run["cross_modal"] == pytest.approx(report.scores.mean_cross_modal())
        assert (run["sentences"], run["rank"]) == ("cloud to edge", report.rank)
    summary = found["summary"]["mse"]["cross-modal"]
    across = [run["cross_modal"] for run in found["runs"] if run["recipe"] == "mse"]
    assert summary["mean"] == pytest.approx(sum(across) / 2)
    assert summary["std"] == pytest.approx(abs(across[0] - across[1]) / 2**0.5)


def test_only_trainings_that_were_not_interrupted_are_timed(done: Path) -> None:
    seconds = {f"{run['recipe']}-{run['seed']}": run["seconds"]
               for run in json.loads((done / "compare.json").read_text())["runs"]}  # fmt: skip
    assert seconds.pop("adaptive-svd-1") is None
    for label in seconds:
        assert seconds[label] == training_seconds(done / label) > 0


def test_what_is_finished_is_neither_trained_nor_scored_again(
    done: Path, store: EmbeddingStore, tmp_path: Path, reid: Any
) -> None:
    out = tmp_path / "runs"
    shutil.copytree(done, out)
    # What was scored is believed: the number shows that it was not computed again.
    raw = json.loads((out / "compare.json").read_text())
    raw["runs"][0]["deployed"]["ir"] = 12345.0
    (out / "compare.json").write_text(json.dumps(raw))
    again = reid(*words(store, out))
    assert again.code == 0, again.err
    assert again.out.count("is finished and kept") == 4
    assert json.loads((out / "compare.json").read_text())["runs"][0]["deployed"]["ir"] == 12345.0
    (out / "compare.json").write_text("cut sh")
    assert reid(*words(store, out)).code == 0
    fresh = json.loads((out / "compare.json").read_text())
    assert fresh["runs"][0]["deployed"] == json.loads((done / "compare.json").read_text())["runs"][0]["deployed"]
    assert {run["seconds"] for run in fresh["runs"]} == {None}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--set", "training.epochs=[2]"], "another recipe"),
        (["--student", "vit-ti"], "another student"),
        (["--recipes", "mse,,mse"], "two recipes are called 'mse'"),
        (["--recipes", " , "], "names no recipe"),
        (["--student", "vit-mikro"], "vit-micro"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_done(
    done: Path, store: EmbeddingStore, reid: Any, more: list[str], told: str
) -> None:
    before = (done / "compare.json").read_bytes()
    refused = reid(*words(store, done, *more))
    assert refused.code == 2
    assert told in refused.err
    assert (done / "compare.json").read_bytes() == before


def test_ctrl_c_exits_with_130_and_several_processes_are_refused(
    store: EmbeddingStore, tmp_path: Path, reid: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(*_: Any, **__: Any) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("distill.compare.run.distil_to", pressed)
    stopped = reid(*words(store, tmp_path / "runs"))
    assert stopped.code == 130
    assert "the same command goes on" in stopped.out
    monkeypatch.setenv("WORLD_SIZE", "2")
    refused = reid(*words(store, tmp_path / "runs"))
    assert refused.code == 2
    assert "one process" in refused.err


def test_a_run_that_fails_is_told_of_and_the_others_go_on(source: Source, tmp_path: Path) -> None:
    """The second recipe's loss becomes infinite at the first step; the first of all must not fail."""
    wild = tmp_path / "wild.yaml"
    wild.write_text("extends: mse\nname: wild\nobjective: {mse: {weight: 1.0e+300}}\n")
    changes = [*CHANGES[:-3], "training.max_steps=1"]
    out, lines = tmp_path / "runs", list[str]()
    names = ["adaptive-svd", str(wild), "mse"]
    found = compare(out, source.store.path, "vit-micro", names, seeds=1, changes=changes, device="cpu",
                    say=lines.append)  # fmt: skip
    assert list(found.outcomes) == ["adaptive-svd-0", "mse-0"]
    assert "loss is not a number" in found.failed["wild-0"]
    assert any(line.startswith("failed: ") for line in lines)
    assert "wild-0 failed" in (out / "compare.txt").read_text()
    with pytest.raises(UserError, match="not a number"):
        compare(tmp_path / "others", source.store.path, "vit-micro", [str(wild)], seeds=1, changes=changes,
                device="cpu", say=lines.append)  # fmt: skip
