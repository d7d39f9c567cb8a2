"""What a training says while it runs, and when it stops early."""

from __future__ import annotations

from typing import Any

import click
from transformers import EarlyStoppingCallback, TrainerCallback

from reid.progress import progress_bar


class Progress(TrainerCallback):
    """A bar on a terminal, and a line for each log entry and each validation."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin the bar where the training begins."""
        self.bar = progress_bar(what="training", unit="steps", total=state.max_steps)
        self.bar.update(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Advance it."""
        self.bar.update()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Print the loss with its terms, or the validation's mAP."""
        logs = logs or {}
        if "loss" in logs:
            terms = "  ".join(f"{key[5:]} {value:.3f}" for key, value in logs.items() if key.startswith("term/"))
            rest = f"|grad| {logs.get('grad_norm', 0):.2f}  idle {100 * logs['idle']:.0f} %"
            line = f"loss {logs['loss']:.3f}  {terms}  {rest}"
        elif "eval_mAP" in logs:
            each = "  ".join(f"{key[5:]} {value:.1f}" for key, value in logs.items() if key.startswith("eval_"))
            line = f"validation  {each}"
        else:
            return
        self.bar.clear()
        click.echo(f"step {state.global_step:>5} of {state.max_steps}  {line}")

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Remove the bar."""
        self.bar.close()


class EarlyStop(EarlyStoppingCallback):
    """Stops when so many validations were not better; also if it was interrupted after it had decided to."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """transformers forgets the decision here, and would train until the next validation."""
        super().on_train_begin(args, state, control, **kwargs)  # type: ignore[no-untyped-call]
        if self.early_stopping_patience_counter >= self.early_stopping_patience:
            control.should_training_stop = True
