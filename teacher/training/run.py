"""`teacher train` from data set and recipe to checkpoint."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments, set_seed

from reid.artifact import MANIFEST, ArtifactWriter
from reid.dataset import Dataset
from reid.errors import UserError
from reid.modality import Modality
from reid.sampling import PeopleBatches
from teacher.checkpoint import KIND, RECIPE, save_teacher
from teacher.data.loading import TrainingCollator, TrainingLoader
from teacher.embedder import Embedder
from teacher.recipe import dump_recipe
from teacher.settings import Recipe
from teacher.training.arguments import describe_device, schedule_evaluation, steps_of, training_arguments
from teacher.training.callbacks import EarlyStop, Progress
from teacher.training.groups import stage_starts
from teacher.training.loop import best_scores, close_logs
from teacher.training.prepare import Prepared, prepare
from teacher.training.state import newest_checkpoint, open_training, working_folder
from teacher.training.trainer import TeacherTrainer
from teacher.training.validation import Validation


def train(
    dataset: Dataset,
    recipe: Recipe,
    out: Path,
    *,
    base: str,
    revision: str | None = None,
    init: Path | None = None,
    source: str = "",
    device: str = "auto",
    resume: bool = False,
    say: Callable[[str], None] = print,
) -> dict[str, float]:
    """Train a teacher and write its checkpoint.

    Args:
        dataset: its people of split train are trained on, those of split val choose the checkpoint.
        recipe: the method. out: the folder to make; `<out>.training` holds the state until then.
        base: folder or hub id of the multimodal LLM. revision: of the hub id.
        init: a teacher checkpoint whose adapter is trained on.
        source: where the data came from, for people.
        device: "auto", "cpu" or "cuda".
        resume: go on with an interrupted training.
        say: prints a line; silent on all processes but the first.

    Returns:
        The validation scores of the checkpoint; empty if there was nobody to validate on.

    Raises:
        UserError: something the user can cure.
    """
    if out.exists():
        # Loading a base may take minutes, so not only when the result is written.
        raise UserError(f"{out}: already exists; choose another name or remove it first")
    arguments = training_arguments(recipe.training, working_folder(out), device)
    first = arguments.process_index == 0
    tell = say if first else (lambda line: None)
    tell(describe_device(arguments, device))
    set_seed(recipe.training.seed)
    prepared = prepare(dataset, recipe, base, revision, init, arguments.device, tell)
    about = {"base": prepared.backbone.base.digest, "data": dataset.fingerprint(), "init": str(init)}
    with arguments.main_process_first(local=False):
        # The first process decides; the others find a training that is there already.
        checkpoint = open_training(
            out, dump_recipe(recipe), about, resume=resume or not first, processes=arguments.world_size
        )
    trainer = make_trainer(prepared, dataset, recipe, arguments, first)
    _describe_data(prepared, dataset, trainer, tell)
    _describe_stages(trainer, tell)
    if resume:
        tell(f"going on from {checkpoint}" if checkpoint else "note: nothing to go on from; beginning at the beginning")
    try:
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    except UserError:
        close_logs(trainer.callback_handler.callbacks)
        # Without a state there is nothing to go on from, and the cure may change the data.
        if first and newest_checkpoint(working_folder(out), arguments.world_size) is None:
            shutil.rmtree(working_folder(out), ignore_errors=True)
        raise
    scores = best_scores(trainer)
    if first:
        _write(out, trainer, prepared, dataset, recipe, init, source, scores)
        shutil.rmtree(working_folder(out))
    tell(f"wrote {out}" + (f": validation mAP {scores['mAP']:.1f}" if scores else ""))
    return scores


def make_trainer(
    prepared: Prepared, dataset: Dataset, recipe: Recipe, arguments: TrainingArguments, first: bool
) -> TeacherTrainer:
    """The Trainer with its batches, validation and callbacks."""
    batches = PeopleBatches(
        prepared.samples,
        recipe.sampling.people,
        recipe.sampling.per_person,
        seed=recipe.training.seed,
        process=arguments.process_index,
        processes=arguments.world_size,
    )
    collator = TrainingCollator(prepared.samples, prepared.teacher.encoder, recipe, prepared.people)
    loader = TrainingLoader(batches, prepared.samples, collator, recipe.training.workers)
    validation = Validation(dataset, recipe.modalities)
    neck = prepared.teacher.neck if recipe.readout.embedding == "after_neck" else None
    embedder = Embedder(prepared.teacher.encoder, neck, cache=recipe.training.cache)
    schedule_evaluation(arguments, recipe.training, len(loader), bool(validation.protocols))
    callbacks: list[Any] = [Progress()] if first else []
    if validation.protocols and recipe.training.patience:
        callbacks.append(EarlyStop(recipe.training.patience))
    return TeacherTrainer(
        prepared.teacher, arguments, recipe, prepared.matched, loader, validation, embedder, callbacks, prepared.parts
    )


def _describe_data(prepared: Prepared, dataset: Dataset, trainer: TeacherTrainer, say: Callable[[str], None]) -> None:
    counts = {m: sum(s.modality is m for s in prepared.samples) for m in Modality}
    parts = ", ".join(f"{count:,} {modality}" for modality, count in counts.items() if count)
    say(f"training on {len(prepared.people):,} people: {parts}")
    unread = [m for m in Modality if m not in trainer.recipe.modalities]
    if any(sample.modality in unread for sample in dataset.samples):
        say(f"note: recipe {trainer.recipe.name} reads no {', '.join(map(str, unread))}; such samples are left out")
    missing = [str(modality) for modality, count in counts.items() if not count and modality not in unread]
    if missing:
        say(f"note: no {', '.join(missing)} to train on; nothing is learnt about it")
    cut = trainer.loader.collator.cut_captions
    if cut:
        say(f"note: {cut:,} captions were cut to {trainer.recipe.prompts.caption_tokens} tokens")
    batches = trainer.loader.batches
    if batches.people != trainer.recipe.sampling.people:
        say(f"note: batches of {batches.people} people instead of {trainer.recipe.sampling.people}: there are no more")
    if trainer.validation.protocols:
        people = len({s.person_id for s in trainer.validation.samples})
        names = ", ".join(p.name for p in trainer.validation.protocols)
        say(f"validating on {people:,} other people by {names}")
    else:
        say("note: nobody to validate on (no samples of split val), so the last checkpoint is kept, not the best")
    gpus = torch.cuda.device_count()
    if gpus > 1 and trainer.args.world_size == 1:
        say(f"note: one of {gpus} GPUs is used; torchrun --nproc-per-node {gpus} -m teacher train uses all")


def _describe_stages(trainer: TeacherTrainer, say: Callable[[str], None]) -> None:
    how = trainer.recipe.training
    steps = how.max_steps or steps_of(trainer.recipe.training, len(trainer.loader), sum(how.epochs))
    for stage, start in enumerate(stage_starts(how.epochs, steps)):
        names = [entry.name for entry in trainer.matched if entry.level.stage == stage]
        names += [part.name for part in trainer.parts if part.settings.stage == stage]
        if names and start >= steps:
            say(f"note: {', '.join(names)} will not train: stage {stage} would begin after step {steps:,}, the last")


def _write(
    out: Path,
    trainer: TeacherTrainer,
    prepared: Prepared,
    dataset: Dataset,
    recipe: Recipe,
    init: Path | None,
    source: str,
    scores: dict[str, float],
) -> None:
    parents = [dataset.root, Path(prepared.backbone.base.name), *([init] if init else [])]
    parents = [parent for parent in parents if (parent / MANIFEST).is_file()]
    writer = {"command": "teacher train", "recipe": recipe.name, "seed": recipe.training.seed}
    with ArtifactWriter(out, KIND, writer, parents) as artifact:
        save_teacher(
            artifact.path, prepared.backbone, recipe, prepared.teacher.neck, prepared.adapter,
            prepared.teacher.encoder.reader, prepared.parts,
        )  # fmt: skip
        (artifact.path / RECIPE).write_text(dump_recipe(recipe), encoding="utf-8")
        log = "".join(json.dumps(row) + "\n" for row in trainer.state.log_history)
        (artifact.path / "log.jsonl").write_text(log, encoding="utf-8")
        _keep_tensorboard(working_folder(out), artifact.path / "tensorboard")
        artifact.details.update(
            dataset=source,
            people=len(prepared.people),
            step=trainer.state.best_global_step or trainer.state.global_step,
            steps=trainer.state.global_step,
            validation=scores,
        )


def _keep_tensorboard(working: Path, folder: Path) -> None:
    for path in working.rglob("events.out.tfevents.*"):
        folder.mkdir(exist_ok=True)
        shutil.copyfile(path, folder / path.name)
