"""How fast synthetic people are made: samples per second and core, for each modality.

    python -m benchmarks.synthetic                  128 x 64, 200 people
    python -m benchmarks.synthetic --size 256 128

One process, one thread. "in order" makes all samples of a person one after the other, as `write_world` does; "shuffled"
jumps between people and cameras, as training does. Backgrounds are painted before the clock starts, once per camera
(their cost is the last row); what a person wears is painted within it. Each repetition measures every row once; printed
are medians over the repetitions of samples per CPU second, with the lowest and the highest.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from reid.modality import Modality
from reid.synthetic import World, write_world
from reid.synthetic.atlas import make_atlas
from reid.synthetic.figure import make_figure
from reid.synthetic.marks import make_marks
from reid.synthetic.person import make_person
from reid.synthetic.scene import make_scene


def forget_people() -> None:
    """Empty the caches of everything that is kept per person."""
    for cached in (make_person, make_atlas, make_figure, make_marks):
        cached.cache_clear()


def per_second(world: World, indices: Sequence[int]) -> float:
    """Samples per CPU second."""
    forget_people()
    start = time.process_time()
    for index in indices:
        if world.place(index).modality is Modality.TEXT:
            world.text(index)
        else:
            world.render(index)
    return len(indices) / (time.process_time() - start)


def written_per_second(world: World) -> float:
    """Samples per CPU second, PNG files and manifest included."""
    forget_people()
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        count = write_world(world, Path(folder) / "world", progress=False)
    return count / (time.process_time() - start)


def measure(people: int, size: tuple[int, int], repeat: int) -> dict[str, list[float]]:
    """Row -> samples per CPU second, one number per repetition."""
    rows: dict[str, list[float]] = {}
    worlds = {m: World(0, people, cameras=4, per_camera=2, size=size, modalities=(m,)) for m in Modality}
    for modality in (Modality.RGB, Modality.IR):
        per_person = len(worlds[modality]) // people
        per_second(worlds[modality], range(per_person))
    for _ in range(repeat):
        for modality, world in worlds.items():
            order = list(range(len(world)))
            rows.setdefault(f"{modality}, in order", []).append(per_second(world, order))
            random.Random(0).shuffle(order)
            rows.setdefault(f"{modality}, shuffled", []).append(per_second(world, order))
        everything = World(0, max(2, people // 8), size=size)
        rows.setdefault("all four, written to disk", []).append(written_per_second(everything))
        start = time.process_time()
        make_scene.__wrapped__(0, len(rows), 10.0, size[0])
        rows.setdefault("background of a camera", []).append(1 / (time.process_time() - start))
    return rows


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--size", type=int, nargs=2, default=(128, 64), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = measure(given.people, (given.size[0], given.size[1]), given.repeat)
    print(f"samples per CPU second, {given.size[0]} x {given.size[1]}, median of {given.repeat} (lowest to highest)")
    for name, rates in rows.items():
        print(f"  {name:<28}{statistics.median(rates):>9,.0f}   ({min(rates):,.0f} to {max(rates):,.0f})")
    if given.json is not None:
        given.json.write_text(json.dumps({"size": given.size, "samples_per_second": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
