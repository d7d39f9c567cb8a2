"""`transformers.Trainer` with our batches, objective, learning rates, validation and checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainingArguments

from reid.errors import UserError
from teacher.data.loading import TrainingLoader
from teacher.embedder import Embedder
from teacher.lora import Matched
from teacher.settings import Recipe
from teacher.training.chunking import chunked_backward
from teacher.training.groups import factor, parameter_groups, stage_starts
from teacher.training.model import TrainableTeacher
from teacher.training.validation import Validation

WEIGHTS = "trained.safetensors"
"""What a checkpoint of a training under way holds of the model: the weights that train, and the neck."""


class TeacherTrainer(Trainer):
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
    """

    def __init__(
        self,
        teacher: TrainableTeacher,
        arguments: TrainingArguments,
        recipe: Recipe,
        matched: Sequence[Matched],
        loader: TrainingLoader,
        validation: Validation,
        embedder: Embedder,
        callbacks: Sequence[Any] = (),
    ) -> None:
        # The Trainer only asks whether there is something to validate on; `evaluate` is ours.
        super().__init__(teacher, arguments, eval_dataset=list(validation.samples), callbacks=list(callbacks))
        self.remove_callback(PrinterCallback)
        self.recipe, self.matched, self.loader = recipe, list(matched), loader
        self.validation, self.embedder = validation, embedder
        self._terms: dict[str, Tensor] = {}
        self._counted = 0
        self._waited, self._since = 0.0, time.perf_counter()
        self._late: list[tuple[int, list[nn.Parameter]]] = []

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """The clock of the idle share starts here."""
        self._since, self._waited = time.perf_counter(), 0.0
        return super().train(*args, **kwargs)

    @property
    def teacher(self) -> TrainableTeacher:
        """The module without whatever wraps it."""
        assert isinstance(self.model, TrainableTeacher)
        return self.model

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Ours, which is dealt out over the processes already."""
        return self.loader

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> Any:
        """As transformers does, and the time that was spent waiting for data."""
        start = time.perf_counter()
        got = super().get_batch_samples(epoch_iterator, num_batches, device)
        self._waited += time.perf_counter() - start
        return got

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW with a group per level."""
        if self.optimizer is None:
            groups = parameter_groups(self.teacher, self.recipe, self.matched)
            self.optimizer = torch.optim.AdamW(
                [
                    {"params": g.weights, "lr": g.lr, "weight_decay": g.decay, "name": g.name, "stage": g.stage}
                    for g in groups
                ]
            )
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Each group's rate rises from the start of its stage."""
        if self.lr_scheduler is None:
            assert self.optimizer is not None
            how = self.recipe.training
            starts = stage_starts(how.epochs, num_training_steps)
            warmup = round(how.warmup * num_training_steps)
            groups = self.optimizer.param_groups
            self._late = [(starts[g["stage"]], g["params"]) for g in groups if g["stage"]]
            factors: list[Callable[[int], float]] = [
                partial(
                    factor, start=starts[g["stage"]], steps=num_training_steps, warmup=warmup, scheduler=how.scheduler
                )
                for g in groups
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
        for start, weights in self._late:
            if self.state.global_step < start:
                # Without a gradient the optimiser leaves a weight and its moments alone.
                for weight in weights:
                    weight.grad = None
        return loss

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The objective; its terms are kept for the log."""
        outputs = model(**inputs, progress=self._progress())
        self._count(outputs["terms"])
        return (outputs["loss"], outputs) if return_outputs else outputs["loss"]

    def _chunked_step(self, model: nn.Module, inputs: dict[str, Any], chunk: int) -> Tensor:
        model.train()
        loss, terms = chunked_backward(
            model,
            self.teacher,
            self._prepare_inputs(inputs),
            size=chunk,
            progress=self._progress(),
            scale=1 / self.current_gradient_accumulation_steps,
            backward=self.accelerator.backward,
            no_sync=lambda: self.accelerator.no_sync(model),
        )
        self._count(terms)
        return loss / self.current_gradient_accumulation_steps

    def _progress(self) -> float:
        return self.state.global_step / max(1, self.state.max_steps)

    def _count(self, terms: dict[str, Tensor]) -> None:
        self._counted += 1
        for name, value in terms.items():
            self._terms[name] = self._terms.get(name, value.new_zeros(())) + value

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """With every term's mean, every level's learning rate and the share of time that was spent waiting for data."""
        if "loss" in logs and self._counted:
            logs = dict(logs)
            logs |= {f"term/{name}": float(total) / self._counted for name, total in self._terms.items()}
            for group in self.optimizer.param_groups if self.optimizer is not None else ():
                logs[f"lr/{group['name']}"] = float(group["lr"])
            now = time.perf_counter()
            logs["idle"] = self._waited / max(now - self._since, 1e-9)
            self._terms, self._counted, self._waited, self._since = {}, 0, 0.0, now
        super().log(logs, start_time)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """mAP on the validation people."""
        self.teacher.eval()
        scores = self.validation.run(self.embedder, self.args.process_index, self.args.world_size)
        metrics = {f"eval_{name}": value for name, value in scores.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        # Validation is not waiting for data.
        self._since, self._waited = time.perf_counter(), 0.0
        return metrics

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        save_file(trained_state(self.teacher), folder / WEIGHTS)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        load_trained_state(self.teacher, Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        assert self.state.best_model_checkpoint is not None
        load_trained_state(self.teacher, Path(self.state.best_model_checkpoint))


def trained_state(teacher: TrainableTeacher) -> dict[str, Tensor]:
    """What a training changes: the trainable weights, and all of the neck."""
    state = {name: weight for name, weight in teacher.named_parameters() if weight.requires_grad}
    state |= {f"neck.{name}": value for name, value in teacher.neck.state_dict().items()}
    return {name: value.detach().contiguous().cpu() for name, value in state.items()}


def load_trained_state(teacher: TrainableTeacher, folder: Path) -> None:
    """Put the weights of a checkpoint of this very training back.

    Raises:
        UserError: other weights train now than then.
    """
    found = load_file(folder / WEIGHTS)
    expected = trained_state(teacher)
    differing = sorted(set(found) ^ set(expected)) or [k for k in found if found[k].shape != expected[k].shape]
    if differing:
        raise UserError(
            f"{folder}: {differing[0]} does not fit ({len(differing)} such weights); was the recipe changed?"
        )
    places = {**dict(teacher.named_parameters()), **{f"neck.{k}": v for k, v in teacher.neck.state_dict().items()}}
    with torch.no_grad():
        for name, value in found.items():
            places[name].copy_(value)
