"""`teacher train` from data set and recipe to checkpoint."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import nn
from transformers import EarlyStoppingCallback, TrainingArguments, set_seed

from reid.artifact import MANIFEST, ArtifactWriter
from reid.dataset import Dataset
from reid.errors import UserError
from reid.modality import Modality
from reid.sample import Sample, Split
from reid.sampling import PeopleBatches
from teacher.backbone import Backbone, load_backbone
from teacher.checkpoint import KIND, RECIPE, load_adapter_weights, save_teacher
from teacher.data.loading import TrainingCollator, TrainingLoader
from teacher.embedder import Embedder
from teacher.encoder import Encoder
from teacher.lora import Matched, attach, describe, match_levels
from teacher.objective import Neck
from teacher.recipe import dump_recipe
from teacher.settings import Recipe
from teacher.training.callbacks import Progress
from teacher.training.model import TrainableTeacher
from teacher.training.state import open_training, working_folder
from teacher.training.trainer import TeacherTrainer
from teacher.training.validation import Validation

_ALL_MODALITIES = len(Modality)


@dataclass
class Prepared:
    """Everything that trains, before the first step."""

    backbone: Backbone
    teacher: TrainableTeacher
    adapter: PeftModel | None
    matched: list[Matched]
    people: dict[str, int]
    samples: Sequence[Sample]


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
    arguments = _arguments(recipe, working_folder(out), device)
    first = arguments.process_index == 0
    tell = say if first else (lambda line: None)
    set_seed(recipe.training.seed)
    prepared = prepare(dataset, recipe, base, revision, init, _torch_device(arguments), arguments, tell)
    about = {"base": prepared.backbone.base.digest, "data": dataset.fingerprint(), "init": str(init)}
    with arguments.main_process_first(local=False):
        # The first process decides; the others find a training that is there already.
        checkpoint = open_training(out, recipe, about, resume=resume or not first, processes=arguments.world_size)
    trainer = make_trainer(prepared, dataset, recipe, arguments, first)
    _describe_data(prepared, dataset, trainer, tell)
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    scores = _best_scores(trainer)
    if first:
        _write(out, trainer, prepared, dataset, recipe, init, source, scores)
        shutil.rmtree(working_folder(out))
    return scores


def prepare(
    dataset: Dataset,
    recipe: Recipe,
    base: str,
    revision: str | None,
    init: Path | None,
    device: torch.device,
    arguments: TrainingArguments,
    say: Callable[[str], None],
) -> Prepared:
    """Load the base, put in what trains, and find whom to train on."""
    samples = dataset.select(Split.TRAIN)
    if not samples:
        raise UserError(f"{dataset.root}: has no samples of split train; nothing to train on")
    dtype = torch.bfloat16 if device.type == "cuda" and recipe.tuning.kind != "full" else torch.float32
    backbone = load_backbone(
        base, recipe.image, revision=revision, device=device, dtype=dtype, quantise=recipe.tuning.quantise
    )
    say(f"base: {backbone.family.name}, {backbone.base}, {_count(backbone.model):,} weights")
    adapter, matched = _tune(backbone, recipe, init, say)
    if recipe.training.recompute:
        _recompute(backbone.model)
    people = {person: number for number, person in enumerate(sorted({s.person_id for s in samples}))}
    encoder = Encoder(backbone, recipe.prompts)
    neck = Neck(backbone.width, len(people), recipe.objective.id.scale).to(device)
    teacher = TrainableTeacher(
        encoder, neck, recipe.objective, after_neck=recipe.readout.embedding == "after_neck"
    )
    say(f"trainable: {sum(w.numel() for w in teacher.parameters() if w.requires_grad):,} weights, the neck included")
    return Prepared(backbone, teacher, adapter, matched, people, samples)


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
    validation = Validation(dataset)
    neck = prepared.teacher.neck if recipe.readout.embedding == "after_neck" else None
    embedder = Embedder(prepared.teacher.encoder, neck, cache=recipe.training.cache)
    _schedule_evaluation(arguments, recipe, len(loader), bool(validation.protocols))
    callbacks: list[Any] = [Progress()] if first else []
    if validation.protocols and recipe.training.patience:
        callbacks.append(EarlyStoppingCallback(recipe.training.patience))
    return TeacherTrainer(
        prepared.teacher, arguments, recipe, prepared.matched, loader, validation, embedder, callbacks
    )


def _arguments(recipe: Recipe, folder: Path, device: str) -> TrainingArguments:
    how = recipe.training
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: no GPU is there; use --device cpu")
    on_cpu = device == "cpu" or not torch.cuda.is_available()
    if how.precision == "bf16" and not on_cpu and not torch.cuda.is_bf16_supported():
        raise UserError("training.precision: bf16, which this GPU cannot; use fp32")
    use_bf16 = how.precision == "bf16" or (how.precision == "auto" and not on_cpu and torch.cuda.is_bf16_supported())
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=sum(how.epochs),
        max_steps=how.max_steps or -1,
        gradient_accumulation_steps=how.accumulate,
        max_grad_norm=how.clip,
        bf16=use_bf16,
        use_cpu=on_cpu,
        logging_steps=how.log_every,
        logging_nan_inf_filter=False,
        report_to=["tensorboard"],
        remove_unused_columns=False,
        ddp_find_unused_parameters=False,
        ddp_backend="gloo" if on_cpu and int(os.environ.get("WORLD_SIZE", "1")) > 1 else None,
        disable_tqdm=True,
        seed=how.seed,
        save_total_limit=1,
        dataloader_pin_memory=not on_cpu,
    )
    if arguments.n_gpu > 1:
        # transformers would split the batch over threads of one process, each with pairs of its own.
        arguments._n_gpu = 1
    return arguments


def _schedule_evaluation(arguments: TrainingArguments, recipe: Recipe, steps_per_epoch: int, validates: bool) -> None:
    """When to validate and save: together, so that the best checkpoint is on disk when it is known to be the best."""
    every = recipe.training.evaluate_every or max(1, steps_per_epoch // recipe.training.accumulate)
    arguments.save_strategy, arguments.save_steps = _steps(), every
    if validates:
        arguments.eval_strategy, arguments.eval_steps = _steps(), every
        arguments.load_best_model_at_end = True
        arguments.metric_for_best_model, arguments.greater_is_better = "mAP", True


def _steps() -> Any:
    from transformers.trainer_utils import IntervalStrategy

    return IntervalStrategy.STEPS


def _torch_device(arguments: TrainingArguments) -> torch.device:
    device = arguments.device
    assert isinstance(device, torch.device)
    return device


def _tune(
    backbone: Backbone, recipe: Recipe, init: Path | None, say: Callable[[str], None]
) -> tuple[PeftModel | None, list[Matched]]:
    """Mark what trains: LoRA layers, all weights, or none."""
    if recipe.tuning.kind == "lora":
        matched = match_levels(backbone.model, backbone.family, recipe.tuning.levels)
        say(describe(matched, backbone.model))
        if recipe.tuning.quantise:
            from peft import prepare_model_for_kbit_training

            prepare_model_for_kbit_training(backbone.model, use_gradient_checkpointing=False)
        adapter = attach(backbone.model, matched)
        if init is not None:
            load_adapter_weights(adapter, init)
        return adapter, matched
    if init is not None:
        raise UserError(f"--init {init}: only goes with tuning.kind lora; give --base {init}/model instead")
    if recipe.tuning.kind == "full":
        backbone.model.requires_grad_(True)
        head = backbone.model.get_output_embeddings()
        if head is not None and head.weight is not backbone.model.get_input_embeddings().weight:
            # It is never run, so it has no gradient.
            head.requires_grad_(False)
    return None, []


def _recompute(model: Any) -> None:
    # The first name is that of transformers 5.21 and newer.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def _describe_data(
    prepared: Prepared, dataset: Dataset, trainer: TeacherTrainer, say: Callable[[str], None]
) -> None:
    counts = {m: sum(s.modality is m for s in prepared.samples) for m in Modality}
    parts = ", ".join(f"{count:,} {modality}" for modality, count in counts.items() if count)
    say(f"training on {len(prepared.people):,} people: {parts}")
    missing = [str(modality) for modality, count in counts.items() if not count]
    if missing:
        say(f"note: no {', '.join(missing)} to train on; nothing is learnt about it")
    cut = trainer.loader.collate_fn.cut_captions
    if cut:
        say(f"note: {cut:,} captions were cut to {trainer.recipe.prompts.caption_tokens} tokens")
    batches = trainer.loader.batch_sampler.batches
    if batches.people != trainer.recipe.sampling.people:
        say(f"note: batches of {batches.people} people instead of {trainer.recipe.sampling.people}: there are no more")
    if trainer.validation.protocols:
        people = len({s.person_id for s in trainer.validation.samples})
        names = ", ".join(p.name for p in trainer.validation.protocols)
        say(f"validating on {people:,} other people by {names}")
    else:
        say("note: nobody to validate on (no samples of split val), so the last checkpoint is kept, not the best")
    if torch.cuda.device_count() > 1 and trainer.args.world_size == 1:
        say(f"note: one of {torch.cuda.device_count()} GPUs is used; torchrun --nproc-per-node N -m teacher train uses N")


def _best_scores(trainer: TeacherTrainer) -> dict[str, float]:
    """The scores of the checkpoint that was kept."""
    best = trainer.state.best_global_step
    rows = [row for row in trainer.state.log_history if row.get("step") == best and "eval_mAP" in row]
    if not rows:
        return {}
    return {key.removeprefix("eval_"): value for key, value in rows[-1].items() if key.startswith("eval_")}


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
        save_teacher(artifact.path, prepared.backbone, recipe, prepared.teacher.neck, prepared.adapter)
        (artifact.path / RECIPE).write_text(dump_recipe(recipe), encoding="utf-8")
        log = "".join(json.dumps(row) + "\n" for row in trainer.state.log_history)
        (artifact.path / "log.jsonl").write_text(log, encoding="utf-8")
        _keep_tensorboard(working_folder(out), artifact.path / "tensorboard")
        artifact.details.update(
            dataset=source, people=len(prepared.people), step=trainer.state.best_global_step or trainer.state.global_step,
            steps=trainer.state.global_step, validation=scores,
        )  # fmt: skip


def _keep_tensorboard(working: Path, folder: Path) -> None:
    for path in working.rglob("events.out.tfevents.*"):
        folder.mkdir(exist_ok=True)
        shutil.copyfile(path, folder / path.name)


def _count(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())
