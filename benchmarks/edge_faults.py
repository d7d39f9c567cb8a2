"""A gallery whose process is killed, again and again: what was acknowledged, and is it there?

    python -m benchmarks.edge_faults                    # 200 rounds each of enrol, delete and compact; minutes
    python -m benchmarks.edge_faults --rounds 20

How it works
- A child works on a gallery (1 to 4 rows with a crop a commit; deletes the two oldest; compacts) and prints a line
  after each call that returned. It gets SIGKILL after a random time of up to --longest seconds from its first line. The
  file is kept from round to round; only compaction begins anew every 20, since it rewrites all there is.
- After each round the gallery is opened, verified to the last byte (every checksum), and compared with the lines:
  every acknowledged row must be there as it was written, every acknowledged deletion must hold, and a commit that was
  not acknowledged must have happened whole or not at all.
- SIGKILL cannot see a missing flush, because the kernel still has what was written. That the commit flushes is a matter
  of SQLite's synchronous=FULL: one fdatasync for each.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.gallery import Gallery, Row
from reid.errors import UserError

DIM = 64
CROP = b"\xff\xd8" + bytes(6000)
KINDS = ("enrol", "delete", "compact")
FRESH = 20


@dataclass
class Tally:
    """What a kind of round came to."""

    kind: str
    rounds: int = 0
    acknowledged: int = 0
    lost: int = 0
    deletions: int = 0
    undone: int = 0
    halves: int = 0
    changed: int = 0
    damaged: int = 0
    unopened: int = 0


@dataclass
class Ledger:
    """What must be there: the numbers that the rows of these ids were made from."""

    rows: dict[int, int] = field(default_factory=dict)
    deleted: set[int] = field(default_factory=set)
    doomed: set[int] = field(default_factory=set)

    def note(self, line: str) -> tuple[int, int]:
        """Take over a line of a child; how many rows it acknowledges, and how many deletions."""
        said = json.loads(line)
        added = {int(i): n for i, n in said.get("added", {}).items()}
        self.rows.update(added)
        self.doomed = set(said.get("doomed", ()))
        self.deleted.update(said.get("deleted", ()))
        return len(added), len(said.get("deleted", ()))


def row_of(number: int) -> Row:
    """The row that belongs to a number."""
    vector = np.random.default_rng(number).standard_normal(DIM).astype(np.float32)
    return Row(vector / np.linalg.norm(vector), f"p{number % 7}", "c1", time=float(number), crop=CROP)


def work(file: Path, kind: str, seed: int) -> None:
    """Be the child: go on until killed."""

    def say(**words: Any) -> None:
        sys.stdout.write(json.dumps(words) + "\n")
        sys.stdout.flush()

    with Gallery.open(file, space_id="faults", dim=DIM, index="numpy") as gallery:
        say(ready=True)
        turn = 0
        while True:
            numbers = [seed * 10**6 + 4 * turn + i for i in range(1 + turn % 4)]
            if kind == "enrol" or turn % 3 == 0:
                say(added=dict(zip(gallery.add([row_of(n) for n in numbers]), numbers, strict=True)))
            elif kind == "delete":
                doomed = gallery.ids()[:2]
                say(doomed=doomed)
                gallery.delete(doomed)
                say(deleted=doomed)
            else:
                gallery.compact()
                say(compacted=True)
            turn += 1


def one_round(file: Path, tally: Tally, ledger: Ledger, seed: int, seconds: float) -> None:
    """Start a child, kill it, look."""
    words = ["--child", tally.kind, "--file", str(file), "--seed", str(seed)]
    command = [sys.executable, "-m", "benchmarks.edge_faults", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        child.stdout.readline()
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.extend(child.stdout or ()))
        reader.start()
        time.sleep(seconds)
        child.send_signal(signal.SIGKILL)
        reader.join()
    for line in lines:
        if line.endswith("\n"):  # The last one may be cut.
            added, deleted = ledger.note(line)
            tally.acknowledged += added
            tally.deletions += deleted
    tally.rounds += 1
    look(file, tally, ledger)


def look(file: Path, tally: Tally, ledger: Ledger) -> None:
    """Compare the gallery with the ledger, and go on from what is there."""
    try:
        with Gallery.open(file, space_id="faults", dim=DIM, index="numpy") as gallery:
            tally.damaged += len(gallery.verify())
            there = set(gallery.ids())
            rows = {row.row_id or 0: row for row in gallery.rows(sorted(there))}
            gallery.search(np.ones((1, DIM), np.float32), 1)
            tally.damaged += len(gallery.notes)
    except UserError as error:
        tally.unopened += 1
        sys.stderr.write(f"{error}\n")
        return
    expected = set(ledger.rows) - ledger.deleted
    tally.lost += len(expected - ledger.doomed - there)
    tally.undone += len(ledger.deleted & there)
    pending = ledger.doomed - ledger.deleted
    tally.halves += len(pending & there) not in (0, len(pending))
    for row_id in expected & there:
        given = row_of(ledger.rows[row_id])
        found = rows[row_id]
        same = np.array_equal(found.embedding, given.embedding) and (found.time, found.crop) == (given.time, given.crop)
        tally.changed += not same
    # What was committed and not acknowledged is as good as any other row from here on.
    ledger.rows.update({i: int(row.time) for i, row in rows.items()})
    ledger.deleted |= pending - there
    ledger.doomed = set()


def run(kind: str, rounds: int, longest: float, folder: Path) -> Tally:
    """All rounds of a kind."""
    tally, ledger, chance = Tally(kind), Ledger(), random.Random(kind)
    for number in range(rounds):
        name = f"{kind}-{number // FRESH if kind == 'compact' else 0}.db"
        if kind == "compact" and number % FRESH == 0:
            ledger = Ledger()
        one_round(folder / name, tally, ledger, number, chance.uniform(0, longest))
    return tally


def print_table(tallies: list[Tally]) -> None:
    """Tallies as Markdown."""
    names = list(asdict(tallies[0]))
    print("| " + " | ".join(names) + " |")
    print("|" + " --- |" * len(names))
    for tally in tallies:
        print("| " + " | ".join(map(str, asdict(tally).values())) + " |")


def main() -> None:
    """Kill, count, print; exit code 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--longest", type=float, default=0.6, help="seconds that a child may live, at most")
    parser.add_argument("--kind", choices=KINDS, action="append", help="repeatable; default: all")
    parser.add_argument("--folder", type=Path, help="on the disk that is to be tested; default: a temporary one")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--child", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        work(given.file, given.child, given.seed)
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        tallies = [run(kind, given.rounds, given.longest, Path(folder)) for kind in given.kind or KINDS]
    print_table(tallies)
    if given.json:
        given.json.write_text(json.dumps([asdict(tally) for tally in tallies], indent=1) + "\n")
    if any(t.lost or t.undone or t.halves or t.changed or t.damaged or t.unopened for t in tallies):
        sys.exit(1)


if __name__ == "__main__":
    main()
