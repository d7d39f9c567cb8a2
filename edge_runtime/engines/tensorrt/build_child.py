"""The parent of `child`: one build at a time on a device, watched, and given up when it is asked to be."""

from __future__ import annotations

import fcntl
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock
from typing import Any

from edge_runtime.engines.tensorrt.cache import ENGINE, SIDECAR
from edge_runtime.engines.tensorrt.messages import EVERY
from reid.artifact import PARTIAL
from reid.errors import UserError

LOCK, LOG = "build.lock", "build.log"
_CHILD = "edge_runtime.engines.tensorrt.child"
_POLL = 0.2
"""Seconds between two looks at a lock that another process holds."""

Say = Callable[[str], None]


class Stopped(Exception):
    """A build was given up because somebody asked for it."""


@dataclass(frozen=True)
class Outcome:
    """How a build ended.

    Attributes:
        built: what is to be known of the engine that is now in the cache; None: there is none.
        why: in words. again: less memory may help.
    """

    built: Mapping[str, Any] | None
    why: str = ""
    again: bool = False


class Builder:
    """Builds in child processes, one after the other; `stop` may come from any thread."""

    def __init__(self, folder: Path, say: Say) -> None:
        self.folder, self._say = folder, say
        self._stopping, self._lock = Event(), Lock()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def stopped(self) -> bool:
        """Whether `stop` has been called."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """End the build that is under way, and start none."""
        with self._lock:
            self._stopping.set()
            if self._process is not None:
                # Nothing in it is worth an orderly end: what it writes appears whole or not at all.
                self._process.kill()

    @contextmanager
    def alone(self) -> Iterator[int]:
        """The lock of this cache; waits while another process builds. The child inherits it, so that a build whose
        parent has died still keeps others away.

        Raises:
            Stopped: while waiting. UserError: the lock cannot be made.
        """
        try:
            lock = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UserError(
                f"{self.folder / LOCK}: cannot be made ({error.strerror}); choose another --cache"
            ) from error
        try:
            waiting = False
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not waiting:
                        self._say("another process builds an engine here; waiting for it")
                    waiting = True
                    if self._stopping.wait(_POLL):
                        raise Stopped from None
            # Whoever wrote these has been killed.
            for ending in (ENGINE, SIDECAR):
                for left in self.folder.glob(f"*.trt*{ending}{PARTIAL}"):
                    left.unlink(missing_ok=True)
            yield lock
        finally:
            os.close(lock)

    def build(self, request: Mapping[str, Any], what: str, lock: int) -> Outcome:
        """One build.

        Args:
            request: what `child` reads. what: it is called in lines of progress. lock: of `alone`.

        Raises:
            Stopped: it was given up. UserError: no process can be started, or the disk is full.
        """
        try:
            last, status = self._told(request, what, lock)
        except OSError as error:
            raise UserError(f"{self.folder}: no engine can be built there ({error.strerror or error})") from error
        if self.stopped:
            raise Stopped
        if "done" in last:
            return Outcome(last["done"])
        if "failed" in last:
            return Outcome(None, last["failed"], bool(last.get("again")))
        if status < 0:
            why = f"the build was ended by signal {-status}" + (" (out of memory?)" if status == -9 else "")
            return Outcome(None, why, True)
        return Outcome(None, f"the build ended with status {status}; its last words are in {self.folder / LOG}")

    def _told(self, request: Mapping[str, Any], what: str, lock: int) -> tuple[dict[str, Any], int]:
        """The last line of a build, and its exit status."""
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="reid-build-") as work:
            path = Path(work) / "request.json"
            path.write_text(json.dumps(request), encoding="utf-8")
            process = self._started(path, lock)
            try:
                last = self._watch(process, what, start)
            finally:
                process.kill()
                status = process.wait()
                self._process = None
        return last, status

    def _started(self, request: Path, lock: int) -> subprocess.Popen[bytes]:
        paths = [path for path in sys.path if path]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
        with self._lock:
            if self._stopping.is_set():
                raise Stopped
            with (self.folder / LOG).open("wb") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", _CHILD, str(request)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=log, env=environment, pass_fds=(lock,),
                )  # fmt: skip
            return self._process

    def _watch(self, process: subprocess.Popen[bytes], what: str, start: float) -> dict[str, Any]:
        """Hand the child's lines on until it ends, and say every few seconds that it is still there; its last line."""
        assert process.stdout is not None
        pipe = process.stdout.fileno()
        last: dict[str, Any] = {}
        rest = b""
        with process.stdout:
            while True:
                ready, _, _ = select.select([pipe], [], [], EVERY)
                if not ready:
                    self._say(f"{what}: building for {time.monotonic() - start:.0f} s")
                    continue
                data = os.read(pipe, 1 << 16)
                if not data:
                    return last
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    told = _parsed(line)
                    if "say" in told:
                        self._say(f"{what}: {told['say']}")
                    elif told:
                        last = told


def _parsed(line: bytes) -> dict[str, Any]:
    """A line of the child; empty for what a library printed there."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
