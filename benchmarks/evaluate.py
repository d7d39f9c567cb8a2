"""Scoring speed and memory: from embeddings to CMC, mAP and mINP, beside the bare matrix product of the same run.

    python -m benchmarks.evaluate                  Market-1501 size, 3,368 x 15,913, 512-d
    python -m benchmarks.evaluate --size msmt      MSMT17 size, 11,659 x 82,161, 512-d

One core (BLAS is held to one thread). Each repetition times every row once, so that the ratios compare neighbours in
time; printed are the medians of CPU seconds and of the ratios to the bare product: `query @ gallery.T`, and the same
in blocks whose memory is reused. "extra MB" is the highest resident memory of a fresh process while scoring, less what
it held when the embeddings were there.

Two kinds of features: "people" (a centre per person plus noise, tuned to a mAP of about 40 %) and "noise" (no
structure at all: the positives lie anywhere in the ranking, which is the worst case for this scorer).
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from reid.evaluation import format_table
from reid.metrics import Ranking, rank
from reid.similarity import CosineScores, Floats, normalise
from reid.trials import Trial

SIZES = {"market": (3368, 15913, 750, 6), "msmt": (11659, 82161, 3060, 15)}
DIM = 512
OURS, PRODUCT, BLOCKS = "this scorer", "query @ gallery.T", "product in blocks"


def problem(size: str, features: str, seed: int = 0) -> tuple[Floats, Floats, Trial]:
    """Queries, gallery and trial of a data set's size; a sixth of the gallery shows people that no query asks for."""
    queries, entries, people, cameras = SIZES[size]
    rng = np.random.default_rng(seed)
    query_person, gallery_person = rng.integers(0, people, queries), rng.integers(0, people * 6 // 5, entries)
    query = rng.standard_normal((queries, DIM), dtype=np.float32)
    gallery = rng.standard_normal((entries, DIM), dtype=np.float32)
    if features == "people":
        centres = rng.standard_normal((people * 6 // 5, DIM), dtype=np.float32)
        for person, rows in ((query_person, query), (gallery_person, gallery)):
            rows *= 2.5
            rows += centres[person]
    query_camera, gallery_camera = rng.integers(0, cameras, queries), rng.integers(0, cameras, entries)
    trial = Trial(
        np.arange(queries),
        np.arange(queries + 1),
        np.arange(entries),
        query_person,
        gallery_person,
        query_person * cameras + query_camera,
        gallery_person * cameras + gallery_camera,
    )
    return query, gallery, trial


def ours(query: Floats, gallery: Floats, trial: Trial) -> Ranking:
    """What `reid evaluate` does once the embeddings are in memory."""
    ranking = rank(CosineScores(normalise(query), normalise(gallery)), trial)
    summarise(ranking)
    return ranking


def summarise(ranking: Ranking) -> tuple[float, float, float]:
    """mAP, mINP, rank-1."""
    precision, penalty = ranking.average_precision, ranking.inverse_negative_penalty
    return float(np.nanmean(precision)), float(np.nanmean(penalty)), float(ranking.cmc(50)[0])


def sort_free_floor(query: Floats, gallery: Floats, trial: Trial) -> float:
    """mAP the simplest way that sorts nothing: for every positive, count the entries that score higher."""
    unit, gallery = normalise(query), normalise(gallery)
    total, valid = 0.0, 0
    for start in range(0, len(unit), 512):
        for i, row in enumerate(unit[start : start + 512] @ gallery.T, start):
            same = trial.gallery_person == trial.query_person[i]
            junk = same & (trial.gallery_drop == trial.query_drop[i])
            row[junk] = -np.inf
            places = np.sort([1 + np.count_nonzero(row > score) for score in row[same & ~junk]])
            if places.size:
                total += float(np.mean(np.arange(1, places.size + 1) / places))
                valid += 1
    return total / valid


def argsort_formulation(query: Floats, gallery: Floats, trial: Trial) -> float:
    """mAP as the toolboxes compute it: the whole distance matrix, an argsort per query, a mask, a cumulative sum."""
    order = np.argsort(-(normalise(query) @ normalise(gallery).T), axis=1)
    total, valid = 0.0, 0
    for i, row in enumerate(order):
        matches = (trial.gallery_person[row] == trial.query_person[i])[trial.gallery_drop[row] != trial.query_drop[i]]
        if matches.any():
            hits = matches.cumsum()
            total += float((hits / np.arange(1, matches.size + 1))[matches].mean())
            valid += 1
    return total / valid


def memory(field: str) -> int:
    """A field of /proc/self/status, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def formulations(size: str, features: str, *, rivals: bool) -> dict[str, Callable[[], object]]:
    """What is compared, by name, each ready to be called."""
    query, gallery, trial = problem(size, features)

    def product_in_blocks() -> None:
        for _ in CosineScores(query, gallery).blocks():
            pass

    calls: dict[str, Callable[[], object]] = {OURS: lambda: ours(query, gallery, trial), BLOCKS: product_in_blocks}
    if size == "market":
        # The whole matrix of MSMT17 takes 3.8 GB, and the product in blocks is the stricter yardstick anyway.
        calls[PRODUCT] = lambda: query @ gallery.T
    if rivals:
        calls["sort-free NumPy floor"] = lambda: sort_free_floor(query, gallery, trial)
        calls["argsort formulation"] = lambda: argsort_formulation(query, gallery, trial)
    return calls


def extra_memory(size: str, features: str, name: str) -> int:
    """Bytes of resident memory that a formulation needs at its peak beyond the embeddings. Call in a fresh process."""
    call = formulations(size, features, rivals=True)[name]
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    before = memory("VmRSS")
    call()
    return memory("VmHWM") - before


def measure(size: str, features: str, repetitions: int, *, rivals: bool) -> list[dict[str, str]]:
    """Rows of the printed table: median CPU seconds, median ratios to the products, extra memory."""
    calls = formulations(size, features, rivals=rivals)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repetitions):
        for name, call in calls.items():
            started = time.process_time()
            call()
            seconds[name].append(time.process_time() - started)
    precision, _, _ = summarise(ours(*problem(size, features)))
    rows = []
    for name in calls:
        with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
            extra = fresh.submit(extra_memory, size, features, name).result()
        rows.append(
            {
                "what": name,
                "features": f"{features}, mAP {100 * precision:.1f}",
                "CPU s": f"{statistics.median(seconds[name]):.2f}",
                **{f"x {of}": _ratio(seconds[name], seconds[of]) for of in (PRODUCT, BLOCKS) if of in calls},
                "extra MB": f"{extra / 1e6:.0f}",
            }
        )
    return rows


def _ratio(one: list[float], other: list[float]) -> str:
    return f"{statistics.median(a / b for a, b in zip(one, other, strict=True)):.2f}"


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="market")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--no-rivals", action="store_true", help="leave out the two other formulations")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    print(f"{args.size}: {SIZES[args.size][0]} x {SIZES[args.size][1]}, {DIM}-d, {args.repetitions} repetitions")
    rivals = args.size == "market" and not args.no_rivals
    rows = [row for f in ("people", "noise") for row in measure(args.size, f, args.repetitions, rivals=rivals)]
    print(format_table(rows))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
