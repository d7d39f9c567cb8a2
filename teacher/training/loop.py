"""`transformers.Trainer` for what is judged by retrieval: terms logged, waiting timed, validation, checkpoints."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainingArguments

from reid.errors import UserError

WEIGHTS = "trained.safetensors"
"""What a checkpoint of a training under way holds of the model: what the training changes."""


class RetrievalTrainer(Trainer):
    """Trains a module whose `forward(**inputs, progress=...)` gives {"loss", "terms"}.

    Args:
        module: what trains.
        arguments: of the Trainer.
        loader: training batches of this process, dealt out over the processes already.
        validated: what is validated on; empty for no validation.
        callbacks: of the Trainer.
    """

    def __init__(
        self,
        module: nn.Module,
        arguments: TrainingArguments,
        loader: DataLoader[Any],
        validated: Sequence[Any],
        callbacks: Sequence[Any] = (),
    ) -> None:
        # The Trainer only asks whether there is something to validate on; `evaluate` is ours.
        super().__init__(module, arguments, eval_dataset=list(validated), callbacks=list(callbacks))
        self.remove_callback(PrinterCallback)
        self.loader = loader
        self._terms: dict[str, Tensor] = {}
        self._counted = 0
        self._waited, self._since = 0.0, time.perf_counter()

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """{"mAP": ..., "<protocol>": ...} in per cent on the validation people, with the weights of the moment."""

    @abstractmethod
    def places(self) -> Mapping[str, Tensor]:
        """Name -> tensor of all that a training changes; a checkpoint is written from them and read into them."""

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """The clock of the idle share starts here."""
        self._since, self._waited = time.perf_counter(), 0.0
        return super().train(*args, **kwargs)

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Not begun where the training is over: killed after its last checkpoint, it would take one more step."""
        if self.state.global_step >= self.state.max_steps or self.control.should_training_stop:
            self.control.should_training_stop = True
            return
        super()._run_epoch(*args, **kwargs)  # type: ignore[no-untyped-call]

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Ours, which is dealt out over the processes already."""
        return self.loader

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> Any:
        """As transformers does, and the time that was spent waiting for data."""
        start = time.perf_counter()
        got = super().get_batch_samples(epoch_iterator, num_batches, device)
        self._waited += time.perf_counter() - start
        return got

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The objective; its terms are kept for the log."""
        outputs = model(**inputs, progress=self.progress())
        self.count(outputs["terms"])
        return (outputs["loss"], outputs) if return_outputs else outputs["loss"]

    def progress(self) -> float:
        """Share of the training that is done."""
        return self.state.global_step / max(1, self.state.max_steps)

    def count(self, terms: Mapping[str, Tensor]) -> None:
        """Keep a batch's terms for the next line of the log."""
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
        scores = self.validate()
        metrics = {f"eval_{name}": value for name, value in scores.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        # Validation is not waiting for data.
        self._since, self._waited = time.perf_counter(), 0.0
        return metrics

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        save_state(self.places(), folder)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        load_state(self.places(), Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        assert self.state.best_model_checkpoint is not None
        load_state(self.places(), Path(self.state.best_model_checkpoint))


def save_state(places: Mapping[str, Tensor], folder: Path) -> None:
    """Write tensors as a checkpoint's `WEIGHTS`."""
    save_file({name: value.detach().contiguous().cpu() for name, value in places.items()}, folder / WEIGHTS)


def load_state(places: Mapping[str, Tensor], folder: Path) -> None:
    """Put the tensors of a checkpoint of this very training back.

    Raises:
        UserError: other weights train now than then.
    """
    found = load_file(folder / WEIGHTS)
    differing = sorted(set(found) ^ set(places)) or [k for k in found if found[k].shape != places[k].shape]
    if differing:
        raise UserError(
            f"{folder}: {differing[0]} does not fit ({len(differing)} such weights); was the recipe changed?"
        )
    with torch.no_grad():
        for name, value in found.items():
            places[name].copy_(value)


def best_scores(trainer: Trainer) -> dict[str, float]:
    """The scores of the checkpoint that was kept; empty if nothing was validated."""
    best = trainer.state.best_global_step
    rows = [row for row in trainer.state.log_history if row.get("step") == best and "eval_mAP" in row]
    if not rows:
        return {}
    return {key.removeprefix("eval_"): value for key, value in rows[-1].items() if key.startswith("eval_")}


def close_logs(callbacks: Iterable[Any]) -> None:
    """Stop TensorBoard, which writes from a thread of its own, before its folder is removed."""
    for callback in callbacks:
        if getattr(callback, "tb_writer", None) is not None:
            callback.tb_writer.close()
