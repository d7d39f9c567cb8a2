"""Milvus, which listens on all interfaces, in a network namespace of its own; a Unix socket leads to it.

unshare --map-root-user --net python milvus_in_namespace.py FOLDER SOCKET PORT

Sockets in the file system are seen from every network namespace, so SOCKET is the only way in.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 1  # SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP
_ON_PARENTS_DEATH = 1  # PR_SET_PDEATHSIG


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_ON_PARENTS_DEATH, signal.SIGKILL)


def raise_loopback() -> None:
    """`ip link set lo up`, which not every machine has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, _GET_FLAGS, request))[1]
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh14x", b"lo", flags | _UP))


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def relay(socket_path: Path, port: int) -> None:
    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    socket_path.unlink(missing_ok=True)
    async with await asyncio.start_unix_server(connect, str(socket_path)) as server:
        await server.serve_forever()


def main() -> None:
    folder, socket_path, port = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    die_with_parent()
    raise_loopback()
    binary = folder / "bin" / "milvus"
    with (folder / "logs" / "milvus.log").open("ab") as log:
        subprocess.Popen(
            [str(binary), "run", "standalone"],
            cwd=folder,
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent,
            env={
                **os.environ,
                "DEPLOY_MODE": "STANDALONE",
                "METRICS_PORT": "9091",
                "MILVUS_RUN_DIR": str(folder / "run"),
                "LD_LIBRARY_PATH": str(binary.parent),
            },
        )
    asyncio.run(relay(socket_path, port))


if __name__ == "__main__":
    main()
