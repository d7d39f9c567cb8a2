"""The gallery beside what it stands on: faiss alone, one fdatasync, the size of its vectors.

    python -m benchmarks.edge_gallery                      # 100 k x 256
    python -m benchmarks.edge_gallery --rows 1000000       # 1 M x 256; needs 6 GB of disk

How it is measured
- Unit vectors, 20 per person around their centre, 10 cameras of a tenth of the rows each, from a seed; queries are
  further images of people who are there. `camera` leaves one camera out, `camera + window` also keeps a tenth of the
  time only.
- Every part runs in a process of its own with one thread. Times of searches are CPU milliseconds, medians over the
  queries, each of which is put to every contender in turn. So a ratio belongs to one run, and a busy machine hurts both
  sides alike.
- Searches compare with faiss `IndexFlatIP` on the same vectors without any filter, and 8-bit ones also with faiss
  `IndexScalarQuantizer` (8 bit per dimension, range of the data) whose best 4 k + 32 are scored exactly.
- Resident memory is taken before the other contenders' copies of the vectors exist. `peak` is its high-water mark.
- Inserts are wall milliseconds, since the disk is what they wait for: an append of 1200 bytes with fdatasync, a row
  added to a bare SQLite table (WAL, synchronous=FULL), a row and sixteen rows added to the gallery, in turn. The
  gallery's is one fdatasync, too; how long one takes differs from one to the next.
- Opening is CPU seconds from `Gallery.open` to the answer of the first query, faiss's import included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.gallery import Filter, Gallery, Row
from edge_runtime.gallery.sidecar import place_of

Floats = NDArray[np.float32]
Result = dict[str, Any]

DIM, K, PER_PERSON, CAMERAS = 256, 10, 20, 10
SPREAD = 0.9
"""Noise beside a centre of length 1: cosine about 0.55 between images of one person."""
BATCH = 4000


def person_rows(first: int, n: int, seed: int = 0) -> Floats:
    """[n, DIM] unit rows number `first` and on, where each PER_PERSON share a centre; any part gives the same rows."""
    rows = np.random.default_rng([seed, 1, first]).standard_normal((n, DIM)).astype(np.float32)
    rows *= SPREAD / np.sqrt(DIM)
    people = np.arange(first, first + n) // PER_PERSON
    for person in np.unique(people):
        rows[people == person] += centre(int(person))
    return unit(rows)


def centre(person: int) -> Floats:
    """[DIM] a person's own direction."""
    found: Floats = unit(np.random.default_rng([7, person]).standard_normal((1, DIM)).astype(np.float32))[0]
    return found


def unit(rows: Floats) -> Floats:
    """Rows of length 1."""
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def queries_of(rows: int, n: int) -> Floats:
    """[n, DIM] further images of people who are among the rows."""
    people = np.random.default_rng(3).integers(0, max(1, rows // PER_PERSON), n)
    found = np.random.default_rng(4).standard_normal((n, DIM)).astype(np.float32) * (SPREAD / np.sqrt(DIM))
    found += np.stack([centre(int(p)) for p in people])
    return unit(found)


def filters(rows: int) -> dict[str, Filter]:
    """What is asked of the rows."""
    return {
        "plain": Filter(),
        "camera": Filter(not_cameras=("c3",)),
        "camera + window": Filter(not_cameras=("c3",), since=0.45 * rows, until=0.55 * rows),
    }


def opened(folder: Path, index: str = "auto") -> Gallery:
    """The gallery of the benchmark."""
    return Gallery.open(folder / "gallery.db", space_id="benchmark", dim=DIM, index=index)


# ------------------------------------------------------------------------------------------------------- the parts


def build(folder: Path, rows: int, index: str) -> Result:
    """Fill the gallery, in commits of BATCH rows."""
    spent = 0.0
    with opened(folder) as gallery:
        for first in range(gallery.count, rows, BATCH):
            vectors = person_rows(first, min(BATCH, rows - first))
            batch = [
                Row(v, f"p{i // PER_PERSON}", f"c{i % CAMERAS}", time=float(i)) for i, v in enumerate(vectors, first)
            ]
            start = time.process_time()
            gallery.add(batch)
            spent += time.process_time() - start
        size = (folder / "gallery.db").stat().st_size + (folder / "gallery.db-wal").stat().st_size
    return {"added a CPU second": rows / spent if spent else None, "bytes a row": size / rows}


def search(folder: Path, rows: int, index: str) -> Result:
    """CPU milliseconds of each contender, and how many of the exact ten were found."""
    import faiss

    faiss.omp_set_num_threads(1)
    with opened(folder, index) as gallery:
        queries = queries_of(rows, 40 if rows > 200_000 else 150)
        gallery.search(queries[:1], K)
        result: Result = {"index": index, "notes": gallery.notes, **memory()}
        vectors = gallery._index._table.vectors
        flat: Any = faiss.IndexFlatIP(DIM)
        flat.add(vectors)
        contenders: dict[str, Callable[[Floats], Any]] = {"IndexFlatIP": lambda q: flat.search(q, K)}
        if index == "sq8":
            codes: Any = faiss.IndexScalarQuantizer(DIM, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
            codes.train(vectors[:: max(1, rows // 65536)])
            codes.add(vectors)

            def rescored(q: Floats) -> Any:
                places = codes.search(q, 4 * K + 32)[1][0]
                scores = vectors[places] @ q[0]
                return places[np.argsort(-scores)[:K]]

            contenders["faiss SQ8 + exact"] = rescored
        for name, where in filters(rows).items():
            contenders[name] = lambda q, where=where: gallery.search(q, K, where)  # type: ignore[misc]
        times: dict[str, list[float]] = {name: [] for name in contenders}
        for query in queries:
            for name, ask in contenders.items():
                start = time.process_time()
                ask(query[None])
                times[name].append(1000 * (time.process_time() - start))
        result["CPU ms"] = {name: median(taken) for name, taken in times.items()}
        result["times IndexFlatIP"] = {n: ratio(times[n], times["IndexFlatIP"]) for n in contenders}
        if index == "sq8":
            result["times faiss SQ8 + exact"] = {n: ratio(times[n], times["faiss SQ8 + exact"]) for n in contenders}
        result["recall@10"] = {name: recall(gallery, vectors, queries, where) for name, where in filters(rows).items()}
    return result


def insert(folder: Path, rows: int, index: str) -> Result:
    """Wall milliseconds of durable inserts into a gallery of its own, beside one fdatasync."""
    vectors = person_rows(0, 16)
    many = [Row(v, "someone", "c1", time=float(i)) for i, v in enumerate(vectors)]
    bare = sqlite3.connect(folder / "bare.db", isolation_level=None)
    for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "CREATE TABLE row (vector BLOB)"):
        bare.execute(statement)
    blob = bytes(1200)
    times: dict[str, list[float]] = {}
    with (
        (folder / "appended").open("ab", buffering=0) as file,
        Gallery.open(folder / "inserts.db", space_id="benchmark", dim=DIM) as gallery,
    ):

        def append() -> None:
            file.write(blob)
            os.fdatasync(file.fileno())

        acts: dict[str, Callable[[], object]] = {
            "fdatasync": append,
            "bare SQLite": lambda: bare.execute("INSERT INTO row VALUES (?)", [blob]),
            "1 row": lambda: gallery.add(many[:1]),
            "16 rows": lambda: gallery.add(many),
        }
        for turn in range(300):
            # The order turns, for each flush also pays for what the one before it has left to the disk.
            for name in [*acts][turn % 4 :] + [*acts][: turn % 4]:
                start = time.perf_counter()
                acts[name]()
                times.setdefault(name, []).append(1000 * (time.perf_counter() - start))
    bare.close()
    return {
        "wall ms": {name: median(taken) for name, taken in times.items()},
        "times fdatasync": {name: median(taken) / median(times["fdatasync"]) for name, taken in times.items()},
    }


def open_again(folder: Path, rows: int, index: str) -> Result:
    """CPU seconds from opening to the first answer."""
    query = queries_of(rows, 1)
    start, wall = time.process_time(), time.perf_counter()
    with opened(folder, index) as gallery:
        gallery.search(query, K)
        found = {"index": index, "CPU s": time.process_time() - start, "wall s": time.perf_counter() - wall, **memory()}
        return {"sidecar": gallery._index._from_sidecar > 0, **found}


def ratio(ours: list[float], theirs: list[float]) -> float:
    """Median over the queries of the ratio of two times."""
    return median(a / b for a, b in zip(ours, theirs, strict=True))


def recall(gallery: Gallery, vectors: Floats, queries: Floats, where: Filter) -> float:
    """Share of the exact best ten, by a product in NumPy, that are found; ties of rounding count as found."""
    allowed = gallery._index._table.mask(where)
    found = 0
    for query, hits in zip(queries, gallery.search(queries, K, where), strict=True):
        scores = vectors @ query
        best = np.sort(scores if allowed is None else scores[allowed])[-K:]
        found += sum(hit.score >= best[0] - 1e-6 for hit in hits)
    return found / (K * len(queries))


def memory() -> Result:
    """Resident memory of this process and its high-water mark, MB (1e6 bytes)."""
    said = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {f"{name} MB": int(said[key].split()[0]) * 1024 / 1e6 for name, key in (("now", "VmRSS"), ("peak", "VmHWM"))}


PARTS = {"build": build, "search": search, "insert": insert, "open": open_again}


def measure(part: str, folder: Path, rows: int, index: str = "auto") -> Result:
    """A part in a process of its own with one thread."""
    one_thread = dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    words = ["--part", part, "--folder", str(folder), "--rows", str(rows), "--index", index]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.edge_gallery", *words],
        env={**os.environ, **one_thread},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    result: Result = json.loads(done.stdout)
    return result


def run(folder: Path, rows: int) -> dict[str, Result]:
    """All parts."""
    copy = place_of(folder / "gallery.db")
    found = {"build": measure("build", folder, rows), "insert": measure("insert", folder, rows)}
    for index in ("auto", "numpy", "sq8"):
        found[f"search {index}"] = measure("search", folder, rows, index)
    copy.unlink(missing_ok=True)
    found["open without the copy"] = measure("open", folder, rows)  # writes it when it closes
    with opened(folder) as gallery:
        gallery.write_sidecar()
    found["open"] = measure("open", folder, rows)
    found["open sq8"] = measure("open", folder, rows, "sq8")
    return found


def show(found: dict[str, Result]) -> None:
    """One table for searches, a line for everything else."""
    for name, result in found.items():
        if not name.startswith("search"):
            print(f"- {name}: {json.dumps({k: _short(v) for k, v in result.items()})}")
    print(
        "\n| index | contender | CPU ms | times IndexFlatIP | times faiss SQ8 + exact | recall@10 | now MB | peak MB |"
    )
    print("|" + " --- |" * 8)
    for name, result in found.items():
        for contender, taken in result.get("CPU ms", {}).items() if name.startswith("search") else ():
            cells = [
                result["index"],
                contender,
                f"{taken:.2f}",
                f"{result['times IndexFlatIP'][contender]:.2f}",
                _cell(result.get("times faiss SQ8 + exact", {}).get(contender), ".2f"),
                _cell(result["recall@10"].get(contender), ".4f"),
                f"{result['now MB']:.0f} (peak {result['peak MB']:.0f})",
            ]
            print("| " + " | ".join(cells) + " |")
    for name, result in found.items():
        for note in result.get("notes", ()):
            print(f"- {name}: {note}")


def _cell(value: float | None, spec: str) -> str:
    return "" if value is None else format(value, spec)


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _short(v) for k, v in value.items()}
    return round(value, 3) if isinstance(value, float) else value


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where the galleries lie; kept, and used again if there")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--index", default="auto", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        print(json.dumps(PARTS[given.part](given.folder, given.rows, given.index)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("bare.db", "inserts.db", "appended"):
            for file in folder.glob(f"{name}*"):
                file.unlink()
        found = run(folder, given.rows)
    show(found)
    if given.json:
        machine = {"machine": platform.machine(), "python": platform.python_version(), "numpy": np.__version__}
        given.json.write_text(json.dumps({"rows": given.rows, **machine, **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
