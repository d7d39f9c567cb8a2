"""A recipe's `training` section as arguments of the Trainer."""

from __future__ import annotations

import os
from math import ceil
from pathlib import Path

import torch
from transformers import TrainingArguments
from transformers.trainer_utils import IntervalStrategy

from reid.errors import UserError
from teacher.settings import Training


def training_arguments(how: Training, folder: Path, device: str) -> TrainingArguments:
    """The Trainer's arguments; what they leave open is set by `schedule_evaluation`.

    Args:
        how: the recipe's section. folder: for checkpoints and logs. device: "auto", "cpu" or "cuda".

    Raises:
        UserError: the device or the precision is not to be had.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: no GPU is there; use --device cpu")
    on_cpu = device == "cpu" or not torch.cuda.is_available()
    if how.precision == "bf16" and not on_cpu and not torch.cuda.is_bf16_supported():
        raise UserError("training.precision: bf16, which this GPU cannot; use fp32")
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=sum(how.epochs),
        max_steps=how.max_steps or -1,
        gradient_accumulation_steps=how.accumulate,
        max_grad_norm=how.clip,
        bf16=computes_in_bf16(how, on_cpu),
        use_cpu=on_cpu,
        logging_steps=how.log_every,
        logging_nan_inf_filter=False,
        report_to=["tensorboard"],
        remove_unused_columns=False,
        ddp_find_unused_parameters=False,
        ddp_backend="gloo" if on_cpu and int(os.environ.get("WORLD_SIZE", "1")) > 1 else None,
        disable_tqdm=True,
        seed=how.seed,
        # The best and the last; with 1, the last would be removed before the result is written.
        save_total_limit=2,
        # How long ago the best validation was.
        restore_callback_states_from_checkpoint=True,
        dataloader_pin_memory=not on_cpu,
    )
    if arguments.n_gpu > 1:
        # transformers would split the batch over threads of one process, each with pairs of its own.
        arguments._n_gpu = 1
    return arguments


def describe_device(arguments: TrainingArguments, asked: str) -> str:
    """Where it trains and in which precision, and why, in one line. `asked`: "auto", "cpu" or "cuda"."""
    on_cpu = arguments.device.type == "cpu"
    why = " (no GPU is there)" if on_cpu and asked == "auto" else ""
    return f"training on the {'CPU' if on_cpu else 'GPU'}{why} in {'bf16' if arguments.bf16 else 'fp32'}"


def computes_in_bf16(how: Training, on_cpu: bool) -> bool:
    """Whether the recipe's precision is bfloat16 there."""
    precision = how.precision
    return precision == "bf16" or (precision == "auto" and not on_cpu and torch.cuda.is_bf16_supported())


def steps_of(how: Training, batches: int, epochs: int) -> int:
    """Steps that so many epochs of so many batches take; what an epoch's last step lacks is not taken from the next."""
    return epochs * ceil(batches / how.accumulate)


def schedule_evaluation(arguments: TrainingArguments, how: Training, batches: int, validates: bool) -> None:
    """When to validate and save: together, so that the best checkpoint is on disk when it is known to be the best.

    Args:
        arguments: to be completed. how: the section. batches: of an epoch. validates: whether there is anybody.
    """
    every = how.evaluate_every or steps_of(how, batches, 1)
    arguments.save_strategy, arguments.save_steps = IntervalStrategy.STEPS, every
    if validates:
        arguments.eval_strategy, arguments.eval_steps = IntervalStrategy.STEPS, every
        arguments.load_best_model_at_end = True
        arguments.metric_for_best_model, arguments.greater_is_better = "mAP", True
