"""A child that is killed: it does one thing over and over and says what is acknowledged, a JSON line each.

python gallery_child.py FILE enrol|delete|compact SEED
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from edge_runtime.gallery import Gallery, Row

DIM = 8


def vector_of(seed: int) -> np.ndarray:
    """The embedding that belongs to a number."""
    found = np.random.default_rng(seed).standard_normal(DIM).astype(np.float32)
    return found / np.linalg.norm(found)


def say(**words: object) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def main() -> None:
    file, what, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    crop = b"\xff\xd8" + bytes(3000)
    with Gallery.open(file, space_id="space", dim=DIM, index="numpy") as gallery:
        say(ready=True)
        for turn in range(10**9):
            numbers = [seed * 10**6 + 10 * turn + i for i in range(1 + turn % 4)]
            rows = [Row(vector_of(n), f"p{n % 7}", time=float(n), crop=crop, metadata={"n": n}) for n in numbers]
            if what == "enrol" or turn % 3 == 0:
                say(added=dict(zip(gallery.add(rows), numbers, strict=True)))
            elif what == "delete":
                doomed = gallery.ids()[:2]
                say(doomed=doomed)
                gallery.delete(doomed)
                say(deleted=doomed)
            else:
                gallery.compact()


if __name__ == "__main__":
    main()
