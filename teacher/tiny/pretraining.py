"""A short pre-training on synthetic people in RGB and text: seeing, then reading. Infrared and sketches stay unseen."""

from __future__ import annotations

import tempfile
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from reid.progress import progress_bar
from teacher.encoder import Encoder
from teacher.tiny.architecture import Size
from teacher.tiny.people import Captioned
from teacher.tiny.reading import Described, Reading
from teacher.tiny.seeing import Photographs, Seeing


def pretrain(encoder: Encoder, data: Captioned, size: Size, *, steps: int | None, seed: int) -> dict[str, float]:
    """Train every weight of the encoder's model.

    Args:
        encoder: whose model is trained. data: whom on.
        size: steps, batches and learning rates. steps: of each part at most, if not the size's own.
        seed: of the batches.

    Returns:
        The losses at the end, in nats: "seen" (words of a person), "together" (InfoNCE) and "said" (per token).
    """
    seeing, reading = (min(own, steps or own) for own in (size.seeing_steps, size.reading_steps))
    encoder.model.requires_grad_(True)
    photographs = Photographs(data, encoder, steps=seeing, batch=size.photographs, seed=seed)
    losses = _train(Seeing(encoder, data), photographs, seeing, size.seeing_lr, seed, "learning to see")
    described = Described(data, encoder, steps=reading, people=size.batch, seed=seed + 1)
    losses |= _train(Reading(encoder), described, reading, size.reading_lr, seed, "learning to read")
    encoder.model.requires_grad_(False)
    return losses


def _train(
    model: nn.Module, batches: IterableDataset[Any], steps: int, lr: float, seed: int, what: str
) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, max_steps=steps, learning_rate=lr, weight_decay=0.01, adam_beta2=0.95,
            warmup_steps=max(1, steps // 10), lr_scheduler_type="cosine", logging_strategy="no", save_strategy="no",
            report_to=[], disable_tqdm=True, remove_unused_columns=False, seed=seed,
            dataloader_pin_memory=torch.cuda.is_available(),
        )  # fmt: skip
        trainer = _Pretrainer(model, arguments, batches=batches, callbacks=[_Bar(steps, what)])
        trainer.train()
    return trainer.losses


class _Pretrainer(Trainer):
    """Takes ready batches, and keeps the losses for the report."""

    losses: dict[str, float]

    def __init__(self, *args: Any, batches: IterableDataset[Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.remove_callback(PrinterCallback)
        self.batches = batches
        self.losses = {}

    def get_train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.batches, batch_size=None)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        outputs = model(**inputs)
        loss = outputs.pop("loss")
        for name, value in outputs.items():
            self.losses[name] = 0.9 * self.losses.get(name, float(value)) + 0.1 * float(value)
        return (loss, outputs) if return_outputs else loss


class _Bar(TrainerCallback):
    """Shows how far it is."""

    def __init__(self, steps: int, what: str) -> None:
        self.bar = progress_bar(what=what, unit="steps", total=steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar.update()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar.close()
