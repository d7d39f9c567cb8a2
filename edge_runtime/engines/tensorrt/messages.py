"""What TensorRT says while it works: messages, and how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

EVERY = 5.0
"""Seconds between two lines of progress."""


@dataclass
class Messages:
    """Warnings and errors of one build, oldest first, and whatever our own code raised while TensorRT called it.

    An exception must not pass through TensorRT's C++, which would end the process: it is kept here, the build is
    cancelled, and it is raised again afterwards.
    """

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    raised: BaseException | None = None

    def heard(self, severity: str, text: str) -> None:
        """A message; severity by TensorRT's name."""
        if severity in ("ERROR", "INTERNAL_ERROR"):
            self.errors.append(text)
        elif severity == "WARNING" and text not in self.warnings:
            self.warnings.append(text)

    def reraise(self) -> None:
        """Raise what was kept."""
        if self.raised is not None:
            raise self.raised


def make_logger(trt: Any, messages: Messages) -> Any:
    """A logger of this TensorRT that writes to `messages`. Keep it as long as anything made with it."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            try:
                messages.heard(getattr(severity, "name", str(severity)), msg)
            except BaseException as error:
                messages.raised = messages.raised or error

    return Logger()


def make_monitor(
    trt: Any,
    messages: Messages,
    say: Callable[[str], None],
    *,
    every: float = EVERY,
    clock: Callable[[], float] = time.monotonic,
) -> Any | None:
    """A progress monitor that says every few seconds what is done and for how long; None if TensorRT has none (8.6).

    With it a build can be interrupted (Ctrl-C) at its next step.
    """
    if not hasattr(trt, "IProgressMonitor"):
        return None

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.start = self.last = clock()
            self.phases: dict[str, tuple[int, int]] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._guarded(lambda: self.phases.update({phase_name: (0, num_steps)}))

        def phase_finish(self, phase_name: str) -> None:
            self._guarded(lambda: self.phases.pop(phase_name, None))

        def step_complete(self, phase_name: str, step: int) -> bool:
            self._guarded(lambda: self._step(phase_name, step))
            return messages.raised is None

        def _step(self, phase: str, step: int) -> None:
            self.phases[phase] = (step + 1, self.phases.get(phase, (0, step + 1))[1])
            now = clock()
            if now - self.last < every:
                return
            self.last = now
            doing = ", ".join(f"{name} {done}/{steps}" for name, (done, steps) in self.phases.items())
            say(f"building for {now - self.start:.0f} s: {doing}")

        def _guarded(self, do: Callable[[], object]) -> None:
            try:
                do()
            except BaseException as error:
                messages.raised = messages.raised or error

    return Monitor()
