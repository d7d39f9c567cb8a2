"""Ctrl-C while training: the step is finished, its state is saved, and the command ends with exit code 130."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from transformers import Trainer, TrainerCallback


class Interruptible(TrainerCallback):
    """Within the context the first SIGINT asks the trainer to save and stop; a second one ends it at once.

    Attributes:
        caught: whether it came.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.caught = trainer, False

    def __enter__(self) -> Interruptible:
        self.trainer.add_callback(self)
        # Only the main thread may set one; elsewhere Ctrl-C is the caller's.
        self._mine = threading.current_thread() is threading.main_thread()
        self._before = signal.signal(signal.SIGINT, self._note) if self._mine else None
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        if self._mine:
            signal.signal(signal.SIGINT, self._before)
        self.trainer.remove_callback(self)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Save and stop, if it came during this step."""
        if self.caught:
            control.should_save = control.should_training_stop = True

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.caught:
            raise KeyboardInterrupt
        self.caught = True
