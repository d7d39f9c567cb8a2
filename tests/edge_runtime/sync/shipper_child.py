"""A writer or a shipper that is killed.

python shipper_child.py FILE write SEED             changes the gallery once for each line that it is given
python shipper_child.py FILE ship URI COLLECTION    ships it for ever and says what it sends, a line each
"""

from __future__ import annotations

import random
import sys
import threading
from pathlib import Path

from shipped_rows import some_rows

from edge_runtime.gallery import Gallery
from edge_runtime.sync import Address, Shipper
from edge_runtime.sync.collection import Collection


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def write(file: Path, seed: int) -> None:
    chance = random.Random(seed)
    with Gallery.open(file, create=False, index="numpy") as gallery:
        for turn, _ in enumerate(sys.stdin):
            gallery.add(some_rows(3, seed * 10**6 + turn))
            ids = gallery.ids()
            gallery.delete(chance.sample(ids, 1))
            gallery.assign(chance.sample(gallery.ids(), 2), f"p{turn % 5}")
            if turn % 10 == 9:
                gallery.compact()


def ship(file: Path, uri: str, name: str) -> None:
    real = Collection.upsert

    def upsert(self: Collection, records: list[dict[str, object]]) -> None:
        say("before")
        real(self, records)
        say("after")

    Collection.upsert = upsert  # type: ignore[method-assign]
    with Shipper(file, Address(uri, name), batch=7, say=say, wait=threading.Event().wait) as shipper:
        shipper.run(follow=True, every=0.01)


if __name__ == "__main__":
    if sys.argv[2] == "write":
        write(Path(sys.argv[1]), int(sys.argv[3]))
    else:
        ship(Path(sys.argv[1]), *sys.argv[3:5])
