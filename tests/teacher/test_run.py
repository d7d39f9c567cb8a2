"""A whole training: whom it sees, which checkpoint it keeps, when it stops, what it says and leaves behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from reid.artifact import check_files, read_manifest
from reid.dataset import Dataset
from reid.errors import UserError
from reid.evaluation import evaluate
from reid.modality import Modality
from reid.protocol import on_validation
from reid.sample import Split
from reid.table import SampleTable
from teacher.checkpoint import load_teacher
from teacher.embedder import Embedder
from teacher.recipe import load_recipe
from teacher.settings import Recipe
from teacher.training.arguments import training_arguments
from teacher.training.prepare import prepare
from teacher.training.run import make_trainer, train
from teacher.training.state import working_folder
from teacher.training.trainer import TeacherTrainer

ALL_TERMS = [f"objective.{term}.weight=0.5" for term in ("id", "triplet", "sdm", "infonce", "centres")]


@dataclass(frozen=True)
class Trained:
    """What a training left: its checkpoint, what it said and what it returned."""

    out: Path
    told: list[str]
    scores: dict[str, float]

    @property
    def log(self) -> list[dict[str, float]]:
        """The lines of log.jsonl."""
        return [json.loads(line) for line in (self.out / "log.jsonl").read_text().splitlines()]


Run = Callable[..., Trained]


@pytest.fixture
def run(people: Dataset, recipe: Callable[..., Recipe], base_of: Callable[..., Path], tmp_path: Path) -> Run:
    """run("training.max_steps=1", ..., dataset=..., name="b") trains on the CPU."""

    def call(*changes: str, dataset: Dataset = people, name: str = "a") -> Trained:
        told: list[str] = []
        out = tmp_path / name
        scores = train(dataset, recipe(*changes), out, base=str(base_of()), device="cpu", say=told.append)
        return Trained(out, told, scores)

    return call


@pytest.fixture
def trainer_of(recipe: Callable[..., Recipe], base_of: Callable[..., Path], tmp_path: Path) -> Callable[..., object]:
    """trainer_of(dataset, ...) is a trainer that has not begun."""

    def build(dataset: Dataset, *changes: str) -> TeacherTrainer:
        how = recipe(*changes)
        prepared = prepare(dataset, how, str(base_of()), None, None, torch.device("cpu"), lambda line: None)
        return make_trainer(prepared, dataset, how, training_arguments(how.training, tmp_path / "work", "cpu"), False)

    return build


def without(dataset: Dataset, *left_out: Modality, split: Split | None = None) -> Dataset:
    """The data set without the samples of some modalities, in one split or in all."""
    kept = [s for s in dataset.samples if s.modality not in left_out or split not in (None, s.split)]
    return replace(dataset, samples=tuple(kept))


def validation_scores(out: Path, dataset: Dataset) -> dict[str, float]:
    """mAP of the stored checkpoint on the validation people by every protocol against RGB, loaded anew."""
    samples = dataset.select(Split.VAL)
    embeddings = Embedder(load_teacher(out).encoder).embed(samples)
    table = SampleTable.of(samples)
    protocols = [on_validation(p) for p in dataset.protocols if p.gallery.modalities == (Modality.RGB,)]
    return {p.name: 100 * evaluate(p, table, embeddings).mean_ap for p in protocols}


def test_validation_people_are_neither_trained_nor_tested_on(
    people: Dataset, trainer_of: Callable[..., TeacherTrainer]
) -> None:
    trainer = trainer_of(people)
    of_split = {split: {s.person_id for s in people.samples if s.split is split} for split in Split}
    validated = {sample.person_id for sample in trainer.validation.samples}
    assert validated == of_split[Split.VAL]
    assert not validated & (of_split[Split.TRAIN] | of_split[Split.TEST])
    seen = set()
    for epoch in range(3):
        for batch in trainer.loader.batches.batches(epoch):
            seen |= {trainer.loader.collator.samples[row].person_id for row in batch}
    assert seen == of_split[Split.TRAIN]
    assert set(trainer.loader.collator.people) == of_split[Split.TRAIN]
    # Each modality against RGB, scored among the validation people.
    names = {"rgb-to-rgb-val", "ir-to-rgb-val", "sketch-to-rgb-val", "text-to-rgb-val"}
    assert {protocol.name for protocol in trainer.validation.protocols} == names
    perfect = np.eye(40, dtype=np.float32)[[int(s.person_id) for s in trainer.validation.samples]]
    assert trainer.validation.score(perfect) == {"mAP": 100, **dict.fromkeys(names, 100)}


def test_the_checkpoint_is_the_one_with_the_best_validation(people: Dataset, run: Run) -> None:
    steady = ["training.scheduler=constant", "training.warmup=0", "training.evaluate_every=1"]
    trained = run("training.max_steps=12", *steady)
    rows = [row for row in trained.log if "eval_mAP" in row]
    assert [row["step"] for row in rows] == list(range(1, 13))
    best = max(rows, key=lambda row: row["eval_mAP"])
    assert best["step"] < 12, "the last one is the best; nothing is tested"
    # With rates that do not change, the training that ends there gives the same weights.
    shorter = run(f"training.max_steps={best['step']}", *steady, name="b")
    for name in ("adapter_model.safetensors", "neck.safetensors"):
        assert (trained.out / name).read_bytes() == (shorter.out / name).read_bytes()
    manifest = read_manifest(trained.out)
    assert (manifest.details["step"], manifest.details["steps"]) == (best["step"], 12)
    again = validation_scores(trained.out, people)
    scores = {"mAP": float(np.mean(list(again.values()))), **again}
    assert trained.scores == pytest.approx(scores)
    assert {key.removeprefix("eval_"): best[key] for key in best if key.startswith("eval_")} == pytest.approx(scores)
    assert trained.told[-1] == f"wrote {trained.out}: validation mAP {scores['mAP']:.1f}"


def test_a_checkpoint_is_whole_and_reruns_the_training(run: Run, recipe: Callable[..., Recipe]) -> None:
    trained = run("training.max_steps=1", "training.seed=3")
    manifest = read_manifest(trained.out)
    assert check_files(trained.out, manifest) == []
    assert [parent.kind for parent in manifest.parents] == ["dataset"]
    assert load_recipe(str(trained.out / "recipe.yaml")) == recipe("training.max_steps=1", "training.seed=3")
    assert not working_folder(trained.out).exists()


def test_training_stops_when_validation_gets_no_better(run: Run) -> None:
    trained = run("training.epochs=[50]", "training.evaluate_every=1", "training.patience=3")
    scores = [row["eval_mAP"] for row in trained.log if "eval_mAP" in row]
    # The first best one, and three after it that are not better.
    assert len(scores) == int(np.argmax(scores)) + 1 + 3
    assert read_manifest(trained.out).details["steps"] == len(scores) < 200


def test_without_validation_people_the_last_weights_are_kept(people: Dataset, run: Run) -> None:
    nobody = replace(people, samples=tuple(s for s in people.samples if s.split is not Split.VAL))
    trained = run("training.max_steps=3", "training.patience=1", dataset=nobody)
    assert trained.scores == {}
    assert any("nobody to validate on" in line and "the last checkpoint is kept" in line for line in trained.told)
    assert read_manifest(trained.out).details["step"] == 3
    assert trained.told[-1] == f"wrote {trained.out}"


@pytest.mark.parametrize(("accumulate", "batches"), [(1, 4), (3, 4)])
def test_a_training_is_validated_at_the_end_of_each_epoch(accumulate: int, batches: int, run: Run) -> None:
    """Also where an epoch's batches do not fill its last step."""
    trained = run("training.epochs=[2]", f"training.accumulate={accumulate}")
    rows = [row for row in trained.log if "eval_mAP" in row]
    steps = ceil(batches / accumulate)
    assert [(row["step"], row["epoch"]) for row in rows] == [(steps, 1.0), (2 * steps, 2.0)]


def test_tensorboard_holds_every_term_by_name(run: Run) -> None:
    """Each point is the mean since the last one: of four batches."""
    how = ["training.max_steps=6", "training.accumulate=2", "training.log_every=2", "training.evaluate_every=4"]
    trained = run(*how, *ALL_TERMS)
    events = EventAccumulator(str(trained.out / "tensorboard"))
    events.Reload()
    rows = [row for row in trained.log if "loss" in row]
    terms = ["term/id", "term/triplet", "term/sdm", "term/infonce", "term/centres"]
    for row in rows:
        assert row["loss"] == pytest.approx(0.5 * sum(row[term] for term in terms), rel=1e-4)
    for key in ("loss", *terms, "lr/vision", "idle"):
        points = events.Scalars(f"train/{key}")
        assert [point.step for point in points] == [2, 4, 6]
        assert [point.value for point in points] == pytest.approx([row[key] for row in rows], rel=1e-6)
    scores = [row for row in trained.log if "eval_mAP" in row]
    for key in ("mAP", "text-to-rgb-val"):
        found = [point.value for point in events.Scalars(f"eval/{key}")]
        assert found == pytest.approx([row[f"eval_{key}"] for row in scores])


def test_a_training_without_a_modality_trains_on_the_rest_and_says_so(people: Dataset, run: Run) -> None:
    rest = without(people, Modality.IR, Modality.SKETCH)
    trained = run("training.max_steps=2", dataset=rest)
    assert "training on 12 people: 24 rgb, 12 text" in trained.told
    assert "note: no ir, sketch to train on; nothing is learnt about it" in trained.told
    assert set(trained.scores) == {"mAP", "rgb-to-rgb-val", "text-to-rgb-val"}
    assert all(np.isfinite(row["loss"]) for row in trained.log if "loss" in row)


def test_a_modality_that_is_only_validated_is_still_validated(people: Dataset, run: Run) -> None:
    trained = run("training.max_steps=1", dataset=without(people, Modality.TEXT, split=Split.TRAIN))
    assert "note: no text to train on; nothing is learnt about it" in trained.told
    assert "text-to-rgb-val" in trained.scores


def test_a_place_that_cannot_be_written_is_refused(
    people: Dataset, recipe: Callable[..., Recipe], base_of: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        train(people, recipe(), tmp_path / "file" / "teacher", base=str(base_of()), device="cpu")


def test_a_result_that_is_there_is_refused_before_the_base_is_loaded(
    people: Dataset, recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="already exists"):
        train(people, recipe(), tmp_path, base="nowhere")


def late(told: list[str]) -> list[str]:
    return [line for line in told if "will not train" in line]


def test_a_stage_that_begins_after_the_last_step_is_told(run: Run) -> None:
    changes = ["training.epochs=[5,4]", "tuning.levels.language.stage=1", "tuning.levels.vision.stage=1"]
    trained = run(*changes, "training.max_steps=1")
    # round(1 * 5 / 9) = 1
    assert late(trained.told) == ["note: vision, language will not train: stage 1 would begin after step 1, the last"]
    rates = {key: row[key] for row in trained.log for key in row if key.startswith("lr/")}
    assert rates["lr/vision"] == rates["lr/language"] == 0


@pytest.mark.parametrize("more", ["training.max_steps=2", "training.accumulate=4"])
def test_a_stage_that_begins_with_the_last_step_is_not(more: str, run: Run) -> None:
    trained = run("training.epochs=[1,1]", "tuning.levels.language.stage=1", more)
    assert read_manifest(trained.out).details["steps"] == 2
    assert late(trained.told) == []
