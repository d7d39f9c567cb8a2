"""Speed and memory of measuring a store's spectrum, beside the bare matrix products and scikit-learn's IncrementalPCA.

    python -m benchmarks.distill_spectrum                             1,000,000 x 1536 float16, 3.2 GB of disk
    python -m benchmarks.distill_spectrum --rows 50000 --dim 512      smaller
    python -m benchmarks.distill_spectrum --store FOLDER              keep the store there, and use it again

One core (BLAS is held to one thread). Each repetition times every row once, in fresh processes one after the other, so
that the ratios compare neighbours in time; printed are medians of CPU seconds. "bare products" are x^T x of float32
rows that lie in memory: the same number of rows, in chunks of the size that the measurement uses. "measure" reads the
memory-mapped store, normalises, and keeps the moments of four modalities in float64; its process opened the store
before. "peak MB" is the highest resident memory of the whole process, libraries, opened store and sample table
included. IncrementalPCA, which is slower, sees the first --rival-rows rows, and its time is scaled to all of them.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from distill.settings import Spectrum
from distill.spectrum.make import make_subspace
from distill.spectrum.measure import measure
from distill.spectrum.moments import Moments
from distill.spectrum.reading import PIECE_ROWS, pieces
from reid.embeddings import EmbeddingStore, StoreWriter
from reid.evaluation import format_table
from reid.modality import Modality
from reid.sample import Sample, Split
from reid.similarity import normalise

CHUNK_ROWS = 2 * PIECE_ROWS
COMPONENTS = 64
BARE, OURS, PEOPLE, WHOLE, RIVAL = (
    "bare products",
    "measure",
    "measure, with people",
    "make_subspace",
    "IncrementalPCA",
)


def write_store(out: Path, rows: int, dim: int, seed: int = 0) -> None:
    """A store whose spectrum falls by a power law about a mean that holds half of the energy, as last tokens have."""
    rng = np.random.default_rng(seed)
    scales = (np.arange(1, dim + 1) ** -0.7).astype(np.float32)
    mean = rng.standard_normal(dim, dtype=np.float32) * np.linalg.norm(scales) / np.sqrt(dim, dtype=np.float32)
    modalities = list(Modality)
    samples = [
        Sample(
            f"{row}",
            f"person {row // 40}",
            modality := modalities[row % 4],
            Split.TRAIN,
            image=None if modality is Modality.TEXT else Path(f"{row}.jpg"),
            text="a person" if modality is Modality.TEXT else None,
        )
        for row in range(rows)
    ]
    with StoreWriter(out, samples, dim, fingerprint={"made": "at random"}, writer={"command": "benchmark"}) as plan:
        for shard in plan.pending():
            n = len(plan.rows(shard))
            plan.write(shard, (mean + scales * rng.standard_normal((n, dim), dtype=np.float32)).astype(np.float16))


def memory(field: str) -> int:
    """A field of /proc/self/status, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def bare(rows: int, dim: int) -> dict[str, float]:
    """Nothing but the products, into the same memory each time."""
    x = np.random.default_rng(0).standard_normal((CHUNK_ROWS, dim), dtype=np.float32)
    out = np.empty((dim, dim), dtype=np.float32)
    start = time.process_time()
    for first in range(0, rows, CHUNK_ROWS):
        part = x[: min(CHUNK_ROWS, rows - first)]
        np.matmul(part.T, part, out=out)
    return _result(start)


def _result(start: float) -> dict[str, float]:
    return {"seconds": time.process_time() - start, "peak": memory("VmHWM") / 2**20}


def run(name: str, path: Path, rows: int) -> dict[str, float]:
    """Time one formulation in this process."""
    store = EmbeddingStore.open(path)
    table = store.table
    if name == BARE:
        return bare(len(table), store.dim)
    start = time.process_time()
    if name in (OURS, PEOPLE):
        measure(store, people=name == PEOPLE)
    elif name == WHOLE:
        make_subspace(store, Spectrum(rank=COMPONENTS))
    else:
        incremental_pca(store, rows)
        found = _result(start)
        return {**found, "seconds": found["seconds"] * len(store) / rows}
    return _result(start)


def incremental_pca(store: EmbeddingStore, rows: int) -> None:
    """scikit-learn's way to the leading components, a shard at a time (its own default is 5 D rows)."""
    from sklearn.decomposition import IncrementalPCA

    pca = IncrementalPCA(COMPONENTS)
    for _, part in pieces(store, np.arange(rows), 5 * store.dim):
        if len(part) >= COMPONENTS:
            pca.partial_fit(normalise(part))


def accuracy(path: Path, rows: int) -> float:
    """Largest difference of the covariance from float64 products of the same rows, relative to its largest entry."""
    store = EmbeddingStore.open(path)
    found = measure(store, np.arange(rows)).total.covariance()
    exact = Moments.empty(store.dim)
    for _, part in pieces(store, np.arange(rows)):
        exact.update(normalise(part).astype(np.float64))
    return float(np.abs(found - exact.covariance()).max() / np.abs(exact.covariance()).max())


def fresh(name: str, path: Path, rows: int) -> dict[str, float]:
    """`run` in a process of its own, whose peak memory is nobody else's."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(run, name, path, rows).result()


def main() -> None:
    """Measure, print a table, write JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=1536)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--rival-rows", type=int, default=32_768, help="rows that IncrementalPCA sees; 0 leaves it out")
    parser.add_argument("--store", type=Path, help="where the store is made, or lies already; else a temporary folder")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = args.store or Path(folder) / "store"
        if not path.exists():
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                pool.submit(write_store, path, args.rows, args.dim).result()
        store = EmbeddingStore.open(path)
        rows, dim = len(store), store.dim
        del store
        rival = min(args.rival_rows, rows)
        names = [BARE, OURS, PEOPLE, WHOLE, *([RIVAL] if rival else [])]
        found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        for _ in range(args.repetitions):
            for name in names:
                found[name].append(fresh(name, path, rival))
        error = accuracy(path, min(rows, 32_768))
    base = [one["seconds"] for one in found[BARE]]
    figures = {
        name: {
            "seconds": statistics.median(one["seconds"] for one in times),
            "x bare": statistics.median(one["seconds"] / b for one, b in zip(times, base, strict=True)),
            "peak MB": max(one["peak"] for one in times),
        }
        for name, times in found.items()
    }
    print(f"{rows:,} x {dim} float16, one core, medians of {args.repetitions}")
    table = [
        {
            "method": name,
            "seconds": f"{f['seconds']:.1f}",
            "x bare": f"{f['x bare']:.2f}",
            "peak MB": f"{f['peak MB']:.0f}",
        }
        for name, f in figures.items()
    ]
    print(format_table(table))
    print(f"largest error of the covariance, relative to its largest entry: {error:.1e}")
    if args.json:
        args.json.write_text(
            json.dumps({"rows": rows, "dim": dim, "figures": figures, "error": error}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
