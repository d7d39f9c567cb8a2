"""A shipper that is killed, again and again, while the gallery is written: does the collection become the gallery?

    python -m benchmarks.edge_sync_faults                            # 200 rounds against milvus-lite's server
    python -m benchmarks.edge_sync_faults --to http://127.0.0.1:19530  # against a server that runs

How it works
- A child ships the gallery for ever (`Shipper.run(follow=True)`) in small batches. It gets SIGKILL at a random time of
  up to --longest seconds after its first batch: before, in the middle of, or after an upsert, a deletion or the move of
  the watermark. Meanwhile this process goes on adding, deleting and renaming rows, and now and then compacts.
- Every --look rounds, so that several kills pile up, the rest is shipped and all of the collection is read back by
  pymilvus: each row of the gallery must be there once, with its embedding, person, camera, time and change number, and
  nothing else. No comparison of the shipper's own (`--check`) is used.
- SIGKILL of the shipper, that is, and neither a power cut nor a server that loses what it acknowledged.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.gallery import Gallery, Row
from edge_runtime.sync import Address, Shipper

DIM = 64
MOST = 1500
"""Rows that the gallery is kept at."""


@dataclass
class Tally:
    """What the rounds came to."""

    server: str
    rounds: int = 0
    looks: int = 0
    changes: int = 0
    batches: int = 0
    missing: int = 0
    double: int = 0
    different: int = 0
    orphans: int = 0
    trouble: int = 0


def row_of(number: int) -> Row:
    """The row that belongs to a number."""
    vector = np.random.default_rng(number).standard_normal(DIM).astype(np.float32)
    return Row(vector / np.linalg.norm(vector), f"p{number % 9}", f"c{number % 3}", time=float(number))


def note(line: str) -> None:
    """Say something of a shipper."""
    sys.stderr.write(line + "\n")


def ship_for_ever(file: Path, address: Address) -> None:
    """Be the child: say a line for each batch, until killed."""
    from edge_runtime.sync.collection import Collection

    real = Collection.upsert

    def upsert(self: Collection, records: list[dict[str, Any]]) -> None:
        sys.stdout.write("batch\n")
        sys.stdout.flush()
        real(self, records)

    Collection.upsert = upsert  # type: ignore[method-assign]
    with Shipper(file, address, batch=20, say=note, wait=threading.Event().wait) as shipper:
        shipper.run(follow=True, every=0.01)


def write(gallery: Gallery, chance: random.Random, stop: threading.Event) -> None:
    """Change the gallery until told to stop."""
    while not stop.wait(0.01):
        gallery.add([row_of(chance.randrange(2**40)) for _ in range(chance.randrange(1, 12))])
        ids = gallery.ids()
        if len(ids) > MOST:
            gallery.delete(ids[: len(ids) - MOST])
        gallery.delete(chance.sample(ids, 2))
        gallery.assign(gallery.ids()[-5:-2], f"q{chance.randrange(9)}")
        if chance.random() < 0.02:
            gallery.compact()


def one_round(gallery: Gallery, address: Address, tally: Tally, chance: random.Random, longest: float) -> None:
    """Start a child, write, kill the child."""
    words = ["--child", str(gallery.path), "--to", address.uri, "--collection", str(address.collection)]
    command = [sys.executable, "-m", "benchmarks.edge_sync_faults", *words]
    stop = threading.Event()
    writer = threading.Thread(target=write, args=(gallery, random.Random(chance.random()), stop))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        writer.start()
        tally.batches += len(child.stdout.readline() and [1])
        time.sleep(chance.uniform(0, longest))
        child.send_signal(signal.SIGKILL)
        stop.set()
        writer.join()
        tally.batches += len(child.stdout.readlines())
        trouble = child.stderr.read()
        tally.trouble += bool(trouble)
        sys.stderr.write(trouble)
    tally.rounds += 1


def look(gallery: Gallery, address: Address, tally: Tally) -> None:
    """Ship the rest and compare the collection with the gallery."""
    from pymilvus import MilvusClient

    with Shipper(gallery.path, address, say=note, wait=threading.Event().wait) as shipper:
        shipper.run()
    client = MilvusClient(address.uri, token=address.token, timeout=60, dedicated=True)
    fields = ["row_id", "seq", "person", "camera", "time", "vector"]
    name = str(address.collection)
    found = client.query(name, "row_id >= 0", fields, limit=16_000, consistency_level="Strong", timeout=60)
    client.close()
    there = {int(each["row_id"]): each for each in found}
    changes = {change.row_id: change for change in gallery.changes_since(0, 10**6) if change.row is not None}
    tally.looks += 1
    tally.double += len(found) - len(there)
    tally.missing += len(changes.keys() - there.keys())
    tally.orphans += len(there.keys() - changes.keys())
    for row_id in changes.keys() & there.keys():
        row, same = changes[row_id].row, there[row_id]
        assert row is not None
        stored = (row.person_id, row.camera_id, row.time, changes[row_id].seq)
        alike = stored == (same["person"], same["camera"], same["time"], same["seq"])
        tally.different += not (alike and np.array_equal(np.asarray(same["vector"], np.float32), row.embedding))


@contextmanager
def lite(folder: Path) -> Iterator[str]:
    """milvus-lite's gRPC server on the loopback interface; its URI."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["server", "--data-dir", str(folder / "lite"), "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen([sys.executable, "-m", "milvus_lite", *words], stdout=log, stderr=log)
    try:
        for _ in range(600):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def run(uri: str, folder: Path, rounds: int, looks: int, longest: float) -> Tally:
    """All rounds."""
    from pymilvus import MilvusClient

    address = Address(uri, "faults_" + uuid.uuid4().hex, os.environ.get("MILVUS_TOKEN", ""))
    chance = random.Random(0)
    client = MilvusClient(uri, token=address.token, timeout=60, dedicated=True)
    tally = Tally(client.get_server_version())
    try:
        with Gallery.open(folder / "gallery.db", space_id="faults", dim=DIM, index="numpy") as gallery:
            gallery.add([row_of(n) for n in range(MOST // 2)])
            for number in range(1, rounds + 1):
                one_round(gallery, address, tally, chance, longest)
                if number % looks == 0 or number == rounds:
                    look(gallery, address, tally)
                    sys.stderr.write(f"{tally}\n")
            tally.changes = gallery.last_change
    finally:
        client.drop_collection(str(address.collection))
        client.close()
    return tally


def main() -> None:
    """Kill, compare, print; exit code 1 if anything was lost or double."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", help="URI of a server (token: MILVUS_TOKEN); default: milvus-lite's, started here")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--look", type=int, default=4, help="compare after so many rounds")
    parser.add_argument("--longest", type=float, default=0.4, help="seconds to kill within, from the first batch")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--collection", help=argparse.SUPPRESS)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    if given.child:
        ship_for_ever(given.child, Address(given.to, given.collection, os.environ.get("MILVUS_TOKEN", "")))
    with tempfile.TemporaryDirectory() as folder:
        if given.to:
            tally = run(given.to, Path(folder), given.rounds, given.look, given.longest)
        else:
            with lite(Path(folder)) as uri:
                tally = run(uri, Path(folder), given.rounds, given.look, given.longest)
    figures = asdict(tally)
    print("| " + " | ".join(figures) + " |")
    print("|" + " --- |" * len(figures))
    print("| " + " | ".join(map(str, figures.values())) + " |")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")
    if tally.missing or tally.double or tally.different or tally.orphans:
        sys.exit(1)


if __name__ == "__main__":
    main()
