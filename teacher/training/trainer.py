"""`RetrievalTrainer` for teachers: our batches and objective, learning rates by level, chunked backward passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainingArguments

from teacher.data.loading import TrainingCollator, TrainingLoader
from teacher.embedder import Embedder
from teacher.lora import Matched
from teacher.settings import Recipe
from teacher.training.chunking import chunked_backward
from teacher.training.groups import end_of, factor, parameter_groups, stage_starts
from teacher.training.loop import RetrievalTrainer
from teacher.training.model import TrainableTeacher
from teacher.training.validation import Validation
from teacher.whole import WholePart


class TeacherTrainer(RetrievalTrainer):
    """Trains a `TrainableTeacher`.

    Args:
        teacher: the module.
        arguments: of the Trainer.
        recipe: of the run.
        matched: the LoRA levels.
        loader: training batches of this process.
        validation: whom to validate on; without protocols there is no validation.
        embedder: embeds them, with the weights of the moment.
        callbacks: of the Trainer.
        parts: those that train whole.
    """

    loader: TrainingLoader[TrainingCollator]

    def __init__(
        self,
        teacher: TrainableTeacher,
        arguments: TrainingArguments,
        recipe: Recipe,
        matched: Sequence[Matched],
        loader: TrainingLoader[TrainingCollator],
        validation: Validation,
        embedder: Embedder,
        callbacks: Sequence[Any] = (),
        parts: Sequence[WholePart] = (),
    ) -> None:
        super().__init__(teacher, arguments, loader, validation.samples, callbacks)
        self.recipe, self.matched, self.parts = recipe, list(matched), list(parts)
        self.validation, self.embedder = validation, embedder
        self._resting: list[tuple[int, int | None, list[nn.Parameter]]] = []

    @property
    def teacher(self) -> TrainableTeacher:
        """The module without whatever wraps it."""
        assert isinstance(self.model, TrainableTeacher)
        return self.model

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW with a group per level."""
        if self.optimizer is None:
            groups = parameter_groups(self.teacher, self.recipe, self.matched, self.parts)
            self.optimizer = torch.optim.AdamW(
                [
                    {"params": g.weights, "lr": g.lr, "weight_decay": g.decay, "name": g.name, "stage": g.stage,
                     "until": g.until}
                    for g in groups
                ]
            )  # fmt: skip
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Each group's rate rises from the start of its stage."""
        if self.lr_scheduler is None:
            assert self.optimizer is not None
            how = self.recipe.training
            starts = stage_starts(how.epochs, num_training_steps)
            warmup = round(how.warmup * num_training_steps)
            groups = self.optimizer.param_groups
            spans = [(starts[g["stage"]], end_of(g["until"], starts)) for g in groups]
            self._resting = [
                (start, end, g["params"]) for (start, end), g in zip(spans, groups, strict=True) if start or end
            ]
            factors: list[Callable[[int], float]] = [
                partial(factor, start=start, end=end, steps=num_training_steps, warmup=warmup, scheduler=how.scheduler)
                for start, end in spans
            ]
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, factors)
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """One forward and backward pass, of the whole batch or in chunks."""
        chunk = self.recipe.training.chunk
        if chunk and len(inputs["people"]) > chunk:
            loss = self._chunked_step(model, inputs, chunk)
        else:
            loss = super().training_step(model, inputs, num_items_in_batch)
        for start, end, weights in self._resting:
            if self.state.global_step < start or (end is not None and self.state.global_step >= end):
                # Without a gradient the optimiser leaves a weight and its moments alone.
                for weight in weights:
                    weight.grad = None
        return loss

    def _chunked_step(self, model: nn.Module, inputs: dict[str, Any], chunk: int) -> Tensor:
        model.train()
        loss, terms = chunked_backward(
            model,
            self.teacher,
            self._prepare_inputs(inputs),
            size=chunk,
            progress=self.progress(),
            scale=1 / self.current_gradient_accumulation_steps,
            backward=self.accelerator.backward,
            no_sync=lambda: self.accelerator.no_sync(model),
        )
        self.count(terms)
        return loss / self.current_gradient_accumulation_steps

    def validate(self) -> dict[str, float]:
        """mAP on the validation people."""
        self.teacher.eval()
        return self.validation.run(self.embedder, self.args.process_index, self.args.world_size)

    def places(self) -> Mapping[str, Tensor]:
        """The trainable weights, and all of the neck."""
        return trained_places(self.teacher)


def trained_places(teacher: TrainableTeacher) -> dict[str, Tensor]:
    """What a training changes: the trainable weights, and all of the neck."""
    places: dict[str, Tensor] = {name: weight for name, weight in teacher.named_parameters() if weight.requires_grad}
    return places | {f"neck.{name}": value for name, value in teacher.neck.state_dict().items()}
