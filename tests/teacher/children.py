"""Waiting for what a child process writes."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

DEADLINE = 120
"""Seconds after which a child is taken to hang."""


def wait_until(happened: Callable[[], bool], child: subprocess.Popen[bytes]) -> None:
    """Return as soon as something has happened; fail if the child ends before, or hangs."""
    give_up = time.monotonic() + DEADLINE
    while not happened():
        if time.monotonic() > give_up:
            child.terminate()
            raise AssertionError("it hangs")
        with suppress(subprocess.TimeoutExpired):
            raise AssertionError(f"it ended too early, with exit code {child.wait(timeout=0.002)}")
