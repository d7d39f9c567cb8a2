"""Real servers, started and stopped by the tests: Milvus of the PyPI wheel, and milvus-lite's gRPC server."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

NAMESPACE = Path(__file__).with_name("milvus_in_namespace.py")
PORT = 19530
"""Of Milvus, in a network namespace where nothing else is."""


class Server:
    """A server process whose data outlives it. Use it as a context."""

    uri: str
    name: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> None:
        """Start it and wait until it answers."""
        assert self._process is None
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(), cwd=self.folder, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"}
            )
        self.wait()

    def wait(self) -> None:
        """Until it answers; a refused connection is tried again."""
        from pymilvus import MilvusClient
        from pymilvus.exceptions import MilvusException

        for _ in range(600):
            assert self._process is not None
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(0.1)
                raise AssertionError((self.folder / "server.log").read_text(errors="replace")[-2000:])
            with suppress(MilvusException):
                client = MilvusClient(self.uri, timeout=1, dedicated=True)
                try:
                    client.list_collections(timeout=1)
                    return
                finally:
                    client.close()
        raise AssertionError(f"{self.name} does not answer")

    @property
    def running(self) -> bool:
        return self._process is not None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        """Kill it: an outage."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def __enter__(self) -> Any:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Lite(Server):
    """`python -m milvus_lite server` on the loopback interface."""

    name = "milvus-lite"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        data = str(self.folder / "data")
        words = ["server", "--data-dir", data, "--host", "127.0.0.1", "--port", str(self.port)]
        return [sys.executable, "-m", "milvus_lite", *words]


class Milvus(Server):
    """The Milvus 2.3.5 server, unpacked from the wheel `milvus` into the folder."""

    name = "milvus"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        import milvus

        config = milvus.MilvusServerConfig(data_dir=str(folder))
        config.resolve_storage()
        # A killed server counts as alive for so many seconds, in which the next one loads nothing; 30 by default.
        config.set("common.session.ttl", 3)
        for key, (_, found) in config.configurable_items.items():
            if key.endswith("_port"):
                config.listen_ports[key] = (found, None)
        config.write_config()
        milvus._initialize_data_files(str(folder))
        self.socket = folder / "milvus.socket"
        self.uri = f"unix:{self.socket}"

    def command(self) -> list[str]:
        unshare = ["unshare", "--map-root-user", "--net"]
        return [*unshare, sys.executable, str(NAMESPACE), str(self.folder), str(self.socket), str(PORT)]


def why_not(kind: str) -> str | None:
    """Why a kind of server cannot be run here."""
    if find_spec("pymilvus") is None:
        return "pymilvus is not installed"
    if kind == "milvus-lite":
        return None if find_spec("milvus_lite") else "milvus-lite is not installed"
    if find_spec("milvus") is None:
        return "the wheel 'milvus' is not installed"
    if not shutil.which("unshare") or subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode:
        return "Milvus listens on all interfaces, and no network namespace can be made here to keep it in"
    return None


def start(kind: str, folder: Path) -> Server:
    """A server that runs; skips the test where it cannot."""
    reason = why_not(kind)
    if reason:
        pytest.skip(reason)
    server: Server = Milvus(folder) if kind == "milvus" else Lite(folder)
    server.start()
    return server
