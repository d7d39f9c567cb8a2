"""`RetrievalTrainer` for students: AdamW with decaying rates by depth, a moving average, NaN named by its samples."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainingArguments

from distill.data.loading import DistillCollator
from distill.embedder import StudentEmbedder
from distill.settings import DistillRecipe
from distill.training.ema import MovingAverage, UpdateAverage
from distill.training.model import TrainableStudent
from distill.training.validation import StudentValidation
from reid.errors import UserError
from teacher.data.loading import TrainingLoader
from teacher.training.groups import factor
from teacher.training.loop import RetrievalTrainer

_NAMED = 6
"""Samples that are named where the loss is no number."""


class DistillTrainer(RetrievalTrainer):
    """Trains a `TrainableStudent`.

    Args:
        module: what trains. arguments: of the Trainer. recipe: of the run.
        loader: training batches of this process.
        validation: whom to validate on. embedder: with the weights of the moment.
        callbacks: of the Trainer.
    """

    loader: TrainingLoader[DistillCollator]

    def __init__(
        self,
        module: TrainableStudent,
        arguments: TrainingArguments,
        recipe: DistillRecipe,
        loader: TrainingLoader[DistillCollator],
        validation: StudentValidation,
        embedder: StudentEmbedder,
        callbacks: Sequence[Any] = (),
    ) -> None:
        self.average = MovingAverage(module, recipe.training.ema)
        first = UpdateAverage(self.average)
        super().__init__(
            module, arguments, loader, validation.samples if validation.protocols else (), [first, *callbacks]
        )
        self.recipe, self.validation, self.embedder = recipe, validation, embedder

    @property
    def trainable(self) -> TrainableStudent:
        """The module without whatever wraps it."""
        assert isinstance(self.model, TrainableStudent)
        return self.model

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW; vectors do not decay."""
        if self.optimizer is None:
            self.optimizer = torch.optim.AdamW(parameter_groups(self.trainable, self.recipe))
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The rates rise, then fall."""
        if self.lr_scheduler is None:
            assert self.optimizer is not None
            how = self.recipe.training
            warmup = round(how.warmup * num_training_steps)
            rate = partial(factor, start=0, steps=num_training_steps, warmup=warmup, scheduler=how.scheduler)
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, rate)
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The objective.

        Raises:
            UserError: it is no number; the batch's samples are named.
        """
        rows = inputs.pop("rows")
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True)
        if not torch.isfinite(loss):
            self._refuse(rows, outputs["terms"])
        return (loss, outputs) if return_outputs else loss

    def _refuse(self, rows: Tensor, terms: Mapping[str, Tensor]) -> None:
        names = [self.loader.collator.samples[row].sample_id for row in rows.tolist()]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        values = ", ".join(f"{name} {float(value):g}" for name, value in terms.items())
        raise UserError(
            f"step {self.state.global_step + 1}: the loss is not a number ({values}) on samples "
            f"{', '.join(names[:_NAMED])}{more}; the last checkpoint stays: lower training.lr, then --resume"
        )

    def validate(self) -> dict[str, float]:
        """mAP on the validation people, with the averaged weights."""
        with self.average.applied():
            return self.validation.score_student(self.embedder, self.args.process_index, self.args.world_size)

    def places(self) -> Mapping[str, Tensor]:
        """All weights and statistics, and their averages."""
        return {
            **self.trainable.state_dict(),
            **{f"average.{name}": value for name, value in self.average.average.items()},
        }


def parameter_groups(module: TrainableStudent, recipe: DistillRecipe) -> list[dict[str, Any]]:
    """The optimiser's groups: of one part, one learning rate and one decay each."""
    how = recipe.training
    layers = 1 + max((_layer(name) for name, _ in module.named_parameters()), default=0)
    groups: dict[tuple[str, float, bool], list[nn.Parameter]] = {}
    for name, weight in module.named_parameters():
        if not weight.requires_grad:
            continue
        part = name.partition(".")[0]
        lr = how.neck_lr if part == "neck" else how.lr
        if part == "student" and how.layer_decay is not None:
            lr *= how.layer_decay ** (layers - _depth(name, layers))
        groups.setdefault((part, lr, weight.ndim > 1), []).append(weight)
    return [
        {"params": weights, "lr": lr, "weight_decay": how.weight_decay if decays else 0.0, "name": part}
        for (part, lr, decays), weights in groups.items()
    ]


def _layer(name: str) -> int:
    """Number of the block that a backbone's weight belongs to, from 1; 0 outside of the blocks."""
    found = re.search(r"\.(?:layer|layers|stages)\.([0-9]+)\.", name)
    return 1 + int(found[1]) if found else 0


def _depth(name: str, layers: int) -> int:
    """0 for the patch embedding, block numbers, `layers` for what follows the last block."""
    return 0 if "embeddings" in name or "stem" in name else _layer(name) or layers
