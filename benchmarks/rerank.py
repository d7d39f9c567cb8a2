"""What k-reciprocal re-ranking costs: time and memory of `reid.rerank`, of the dense formulation, of the bare product.

    python -m benchmarks.rerank --size market            # 3,368 queries, 15,913 gallery images, beside the dense form
    python -m benchmarks.rerank --size msmt17            # 11,659 queries, 82,161 gallery images
    python -m benchmarks.rerank --size curve --plot docs/images/rerank-scaling.png

How it is measured
- Features are 512-d float32 of length 1, from a seed, of two kinds: `people` (identities of 20 images each, spread so
  that about 70 % mAP is reached at Market's size, as by a fair model) and `random` (no
  structure at all; neighbourhoods are one-sided, which is the harder case for a sparse encoding after query expansion).
- Every contender runs in a process of its own with one BLAS thread. Times are CPU seconds of that process, medians over
  `--repeat`; the bare N x N product, in square tiles that are thrown away, runs in the same process between the
  repeats, so a ratio belongs to one run.
- Peak memory is the process's high-water mark of resident memory (VmHWM; ru_maxrss where there is no /proc) after the
  first repeat, less the mark when it had done nothing but load the features. It includes every copy of the features
  that the contender makes. The total is the mark itself.
- The dense form is written from the paper and the order of operations of its published code: whole distance matrix,
  full argsort, dense V, a loop over images. `dense` keeps the transposition of that code, because of which V lies in
  memory by columns while it is read by rows; `dense by rows` is the best that the formulation can do without it. Each
  runs once, and the sparse form three times after it in the same process: `times sparse` is the dense time over the
  median of these. Their distances are compared with the sparse ones, element by element.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

import reid.rerank.neighbours
import reid.rerank.scores
from reid.rerank import ReRanked
from reid.rerank.neighbours import TILE
from reid.similarity import normalise

Floats = NDArray[np.float32]
Result = dict[str, Any]

SIZES = {"market": (3368, 15913), "msmt17": (11659, 82161)}
CURVE_IMAGES, CURVE_QUERIES = (5_000, 10_000, 20_000, 40_000), 1_000
K1, K2, LAMBDA = 20, 6, 0.3
MIB = 2**20


# ---------------------------------------------------------------------------------------------------- contenders


def scaled_as_published(features: Floats) -> Floats:
    """[N, N] d in the published order of operations; the transposition leaves it, and V, stored by columns."""
    euclidean = np.sqrt(np.maximum(2 - 2 * (features @ features.T), 0))
    squared = np.power(euclidean, 2)
    return np.transpose(squared / squared.max(axis=0))


def scaled_by_rows(features: Floats) -> Floats:
    """[N, N] the same d, stored by rows, which suits every later step but one."""
    squared = 2 - 2 * (features @ features.T)
    squared /= squared.max(axis=1, keepdims=True)
    return squared


def dense(query: Floats, gallery: Floats, scaled: Callable[[Floats], Floats]) -> Floats:
    """[Q, G] final distances, every matrix held whole (Zhong et al., CVPR 2017, arXiv 1701.08398)."""
    features = np.concatenate([query, gallery])
    n, queries = len(features), len(query)
    distance = scaled(features)
    order = np.argsort(distance, axis=1).astype(np.int32)
    encoded = np.zeros_like(distance)
    for i in range(n):
        own = _reciprocal(order, i, K1)
        members = [own]
        for j in own:
            theirs = _reciprocal(order, j, round(K1 / 2))
            if np.intersect1d(theirs, own).size > 2 / 3 * theirs.size:
                members.append(theirs)
        grown = np.unique(np.concatenate(members))
        weight = np.exp(-distance[i, grown])
        encoded[i, grown] = weight / weight.sum()
    distance = distance[:queries, queries:].copy()
    averaged = np.empty_like(encoded)
    for i in range(n):
        averaged[i] = encoded[order[i, :K2]].mean(axis=0)
    encoded = averaged
    del order, averaged
    holders = [np.flatnonzero(encoded[:, c]) for c in range(n)]
    for i in range(queries):
        smaller = np.zeros(n, dtype=np.float32)
        for c in np.flatnonzero(encoded[i]):
            smaller[holders[c]] += np.minimum(encoded[i, c], encoded[holders[c], c])
        jaccard = 1 - smaller[queries:] / (2 - smaller[queries:])
        distance[i] = (1 - LAMBDA) * jaccard + LAMBDA * distance[i]
    return distance


def _reciprocal(order: NDArray[np.int32], i: int, k: int) -> NDArray[np.int32]:
    forward = order[i, : k + 1]
    mutual: NDArray[np.bool_] = (order[forward, : k + 1] == i).any(axis=1)
    return forward[mutual]


DENSE = {"dense": scaled_as_published, "dense by rows": scaled_by_rows}


def bare_product(query: Floats, gallery: Floats) -> None:
    """All N x N similarities, computed and forgotten, in square tiles: the fastest way that we know."""
    features = np.concatenate([query, gallery])
    room = np.empty(TILE * TILE, dtype=np.float32)
    for top in range(0, len(features), TILE):
        rows = features[top : top + TILE]
        for left in range(0, len(features), TILE):
            columns = features[left : left + TILE]
            np.matmul(rows, columns.T, out=room[: len(rows) * len(columns)].reshape(len(rows), len(columns)))


def sparse(query: Floats, gallery: Floats, spent: dict[str, float]) -> None:
    """All Q x G scores, computed and forgotten; `spent` gets the CPU seconds of each part."""
    with _timed_search(spent), timed(spent, "total"):
        with timed(spent, "preparation"):
            scores = ReRanked(query, gallery, k1=K1, k2=K2, lambda_=LAMBDA)
        with timed(spent, "scores"):
            for _ in scores.blocks():
                pass
    spent["encoding"] = spent.pop("preparation") - spent["search"]


def _total(query: Floats, gallery: Floats) -> float:
    spent: dict[str, float] = {}
    sparse(query, gallery, spent)
    return spent["total"]


@contextmanager
def timed(spent: dict[str, float], name: str) -> Iterator[None]:
    """Put the CPU seconds of the body under `name`."""
    start = time.process_time()
    yield
    spent[name] = time.process_time() - start


@contextmanager
def _timed_search(spent: dict[str, float]) -> Iterator[None]:
    search = reid.rerank.neighbours.nearest

    def watched(*args: Any, **options: Any) -> Any:
        with timed(spent, "search"):
            return search(*args, **options)

    with patch.object(reid.rerank.scores, "nearest", watched):
        yield


# --------------------------------------------------------------------------------------------------- one process


def features_of(kind: str, n: int, seed: int = 0) -> Floats:
    """[n, 512] unit rows in random order of people."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, 512), dtype=np.float32)
    if kind == "people":
        # Cosine 0.3 between images of one person, 0 +- 0.09 between people: rank-1 about 95 %, mAP about 70 %.
        scale = np.arange(1, 513, dtype=np.float32) ** -0.35
        people = rng.integers(0, max(1, n // 20), n)
        rows *= 1.5
        rows += rng.standard_normal((max(1, n // 20), 512), dtype=np.float32)[people]
        rows *= scale
    return normalise(rows)


def high_water() -> float:
    """Largest resident memory of this process so far, MiB."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (MIB if sys.platform == "darwin" else 1024)


def work(contender: str, folder: Path, queries: int, repeat: int) -> Result:
    """Run one contender on the features in `folder`, in this process."""
    features = np.load(folder / "features.npy")
    query, gallery = features[:queries], features[queries:]
    before, peak = high_water(), 0.0
    runs: list[dict[str, float]] = []
    for _ in range(repeat):
        spent: dict[str, float] = {}
        if contender in DENSE:
            with timed(spent, "total"):
                result = dense(query, gallery, DENSE[contender])
            np.save(folder / "dense.npy", result)
        else:
            sparse(query, gallery, spent)
        peak = peak or high_water()
        if contender in DENSE:
            spent["sparse"] = median(_total(query, gallery) for _ in range(3))
        with timed(spent, "bare product"):
            bare_product(query, gallery)
        runs.append(spent)
    return {"before_mib": before, "peak_mib": peak, "runs": runs}


def compare(folder: Path, queries: int) -> Result:
    """How far the sparse distances are from the dense ones that `work` left in `folder`."""
    features, expected = np.load(folder / "features.npy"), np.load(folder / "dense.npy", mmap_mode="r")
    largest, apart, same_first = 0.0, 0, 0
    scores = ReRanked(features[:queries], features[queries:], k1=K1, k2=K2, lambda_=LAMBDA)
    for start, block in scores.blocks():
        reference = expected[start : start + len(block)]
        difference = np.abs(block + reference)
        largest = max(largest, float(difference.max()))
        apart += int(np.count_nonzero(difference > 1e-5))
        first = np.argsort(reference, axis=1, kind="stable")[:, :50]
        ours = np.take_along_axis(-block, first, axis=1)
        same_first += int(np.count_nonzero((np.diff(ours, axis=1) >= -1e-6).all(axis=1)))
    return {
        "largest_difference": largest,
        "share_above_1e-5": apart / expected.size,
        "share_of_queries_with_the_same_first_50": same_first / queries,
    }


# ------------------------------------------------------------------------------------------------------ the table


def measure(contender: str, folder: Path, queries: int, repeat: int) -> Result:
    """`work` or `compare` in a fresh process with one BLAS thread."""
    one_thread = dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    job = ["--worker", contender, "--folder", str(folder), "--queries", str(queries), "--repeat", str(repeat)]
    command = [sys.executable, __file__, *job]
    done = subprocess.run(command, env={**os.environ, **one_thread}, stdout=subprocess.PIPE, check=True, text=True)
    result: Result = json.loads(done.stdout)
    return result


def row(contender: str, kind: str, queries: int, gallery: int, measured: Result) -> Result:
    """Medians over the repeats; the ratio is the median of each repeat's own."""
    runs = measured["runs"]
    parts = {f"{name}_s": median(run[name] for run in runs) for name in runs[0]}
    return {
        "contender": contender,
        "features": kind,
        "queries": queries,
        "gallery": gallery,
        **parts,
        "times_bare_product": median(run["total"] / run["bare product"] for run in runs),
        "extra_mib": measured["peak_mib"] - measured["before_mib"],
        "peak_mib": measured["peak_mib"],
        "repeats": len(runs),
    }


def run_size(queries: int, gallery: int, kinds: list[str], repeat: int, with_dense: bool) -> Iterator[Result]:
    """The rows of one problem size."""
    for kind in kinds:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            np.save(folder / "features.npy", features_of(kind, queries + gallery))
            ours = row("sparse", kind, queries, gallery, measure("sparse", folder, queries, repeat))
            if with_dense:
                for name in DENSE:
                    theirs = row(name, kind, queries, gallery, measure(name, folder, queries, 1))
                    theirs["times_sparse"] = theirs["total_s"] / theirs["sparse_s"]
                    yield theirs
                ours["against_dense"] = measure("compare", folder, queries, 1)
            yield ours


COLUMNS = {
    "contender": "",
    "features": "",
    "queries": "d",
    "gallery": "d",
    "bare product_s": ".2f",
    "search_s": ".2f",
    "encoding_s": ".2f",
    "scores_s": ".2f",
    "total_s": ".2f",
    "times_bare_product": ".2f",
    "times_sparse": ".1f",
    "extra_mib": ".0f",
    "peak_mib": ".0f",
}


def print_table(rows: list[Result]) -> None:
    """Rows as Markdown."""
    print("| " + " | ".join(name.replace("_", " ") for name in COLUMNS) + " |")
    print("|" + " --- |" * len(COLUMNS))
    for each in rows:
        cells = [format(each[name], spec) if name in each else "" for name, spec in COLUMNS.items()]
        print("| " + " | ".join(cells) + " |")
    for each in rows:
        if "against_dense" in each:
            print(f"\n{each['features']} features, sparse against dense: {json.dumps(each['against_dense'])}")


def plot(rows: list[Result], path: Path) -> None:
    """Time against the number of images, both axes logarithmic, with the slope of each line."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    kinds = list(dict.fromkeys(each["features"] for each in rows))
    figure, panels = plt.subplots(1, len(kinds), figsize=(5.5 * len(kinds), 4.8), sharey=True, squeeze=False)
    lines = [
        ("search_s", "neighbour search", "C0", "o"),
        ("encoding_s", "encoding", "C1", "s"),
        ("scores_s", f"scores of {CURVE_QUERIES:,} queries", "C2", "^"),
    ]
    for panel, kind in zip(panels[0], kinds, strict=True):
        mine = [each for each in rows if each["features"] == kind]
        images = np.array([each["queries"] + each["gallery"] for each in mine])
        for key, label, colour, mark in lines:
            seconds = np.array([each[key] for each in mine])
            power = np.polyfit(np.log(images), np.log(seconds), 1)[0]
            panel.loglog(images, seconds, color=colour, marker=mark, label=f"{label} (slope {power:.2f})")
        rest = np.array([each["encoding_s"] + each["scores_s"] for each in mine])
        power = np.polyfit(np.log(images), np.log(rest), 1)[0]
        panel.loglog(images, rest, "k--", label=f"all but the search (slope {power:.2f})")
        panel.set_title(f"{kind} features, 512-d, one core")
        panel.set_xlabel("images, queries and gallery together")
        panel.set_xticks(images, [f"{n // 1000} k" for n in images])
        panel.minorticks_off()
        panel.grid(True, alpha=0.3)
        panel.legend(fontsize=9)
    panels[0][0].set_ylabel("CPU seconds")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=[*SIZES, "curve"], default="market")
    parser.add_argument("--features", choices=["people", "random", "both"], default="both")
    parser.add_argument("--repeat", type=int, default=3, help="repeats of everything but the dense form")
    parser.add_argument("--no-dense", action="store_true", help="leave the dense form out (market)")
    parser.add_argument("--json", type=Path, help="also write the rows there")
    parser.add_argument("--plot", type=Path, help="draw the curve there (curve)")
    parser.add_argument("--worker", choices=["sparse", *DENSE, "compare"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--queries", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        done = compare if given.worker == "compare" else None
        result = (
            done(given.folder, given.queries) if done else work(given.worker, given.folder, given.queries, given.repeat)
        )
        print(json.dumps(result))
        return
    kinds = ["people", "random"] if given.features == "both" else [given.features]
    curve = [(CURVE_QUERIES, n - CURVE_QUERIES) for n in CURVE_IMAGES]
    sizes = curve if given.size == "curve" else [SIZES[given.size]]
    with_dense = given.size == "market" and not given.no_dense
    rows = [each for q, g in sizes for each in run_size(q, g, kinds, given.repeat, with_dense)]
    print_table(rows)
    if given.plot:
        plot(rows, given.plot)
    if given.json:
        machine = {"machine": platform.machine(), "python": platform.python_version(), "numpy": np.__version__}
        given.json.write_text(json.dumps({"size": given.size, **machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
