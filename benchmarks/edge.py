"""What the device's runtime costs: room on disk and in memory, start-up, and time beside the bare engine.

    python -m benchmarks.edge                   # everything but wheels, with vit-s at 256 x 128
    python -m benchmarks.edge wheels            # asks the package index: is there an aarch64 wheel of everything?

How it is measured
- Size is the sum of the installed files of each distribution, dependencies followed as pip would without extras; with
  the byte code that pip writes, if it wrote it.
- Start-up is CPU seconds of a fresh interpreter that imports, less those of one that imports nothing; the least of
  seven. Memory is VmRSS after one crop was embedded, and its high-water mark, in a process of its own.
- Speed: crops as decoded arrays of 200 x 80 pixels in, ten hits out of a gallery of 10,000 rows, in batches; the bare
  loop is `session.run` of the same ONNX Runtime session on pixels that are ready. One thread, in CPU seconds, and both
  take turns, call by call, so that a busy machine slows both; a ratio is of the medians, in brackets the quartiles of
  the ratios of single turns.
- `wheels` lets pip resolve for manylinux up to 2_28 on aarch64 and each Python, with wheels only and nothing installed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

Result = dict[str, Any]

BASE = ("click", "numpy", "pillow", "safetensors", "tqdm")
EDGE = ("onnxruntime", "faiss-cpu", "tokenizers", "zstandard", "cryptography")
"""The extra `edge`."""
OURS = ("reid", "edge_runtime")
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_26", "manylinux_2_24", "manylinux_2_17", "manylinux2014")
CROP = (200, 80)
ROWS, K = 10_000, 10


# --------------------------------------------------------------------------------------------------- size and start


def installed(names: Iterable[str]) -> list[str]:
    """These distributions and what they depend on here, without extras."""
    from packaging.requirements import Requirement

    found: list[str] = []
    left = list(names)
    while left:
        name = re.sub(r"[-_.]+", "-", left.pop(0)).lower()
        if name in found:
            continue
        found.append(name)
        for line in metadata.distribution(name).requires or ():
            wanted = Requirement(line)
            if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
                left.append(wanted.name)
    return found


def megabytes(name: str) -> float:
    """Of the files of a distribution, 1e6 bytes."""
    files = metadata.distribution(name).files or ()
    places = [Path(str(file.locate())) for file in files]
    return sum(place.stat().st_size for place in places if place.is_file()) / 1e6


def size() -> Result:
    """MB of what the base install brings, and of what the extra adds."""
    base = {name: megabytes(name) for name in installed(BASE)}
    extra = {name: megabytes(name) for name in installed([*BASE, *EDGE]) if name not in base}
    root = Path(__file__).parents[1]
    own = sum(path.stat().st_size for package in OURS for path in (root / package).rglob("*.py")) / 1e6
    base["reid-distill (reid, edge_runtime)"] = own
    return {"base": base, "base MB": sum(base.values()), "extra edge": extra, "extra edge MB": sum(extra.values())}


def start() -> Result:
    """CPU seconds that importing takes."""
    plain = _cpu("pass")
    return {
        "import edge_runtime": _cpu("import edge_runtime") - plain,
        "import all that embeds and searches": _cpu("import edge_runtime.embedder, edge_runtime.search") - plain,
        "edge --help": _cpu("from edge_runtime.cli import command; command.main(['--help'], standalone_mode=False)")
        - plain,
        "torch is imported": _loads_torch("edge_runtime.embedder, edge_runtime.search, edge_runtime.cli"),
    }


def _cpu(code: str) -> float:
    taken = []
    for _ in range(7):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(taken)


def _loads_torch(modules: str) -> bool:
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "True\n"


# ------------------------------------------------------------------------------------- parts in a process of their own


def memory(bundle: Path) -> Result:
    """Resident MB with the engine loaded."""
    import numpy as np

    from edge_runtime.embedder import Embedder

    before = _resident()
    with Embedder.load(bundle, engine="onnxruntime", precision="fp32") as embedder:
        embedder.embed([np.zeros((*CROP, 3), np.uint8)], "rgb")
        return {"before the engine": before["VmRSS"], "now": _resident()["VmRSS"], "peak": _resident()["VmHWM"]}


def _resident() -> dict[str, float]:
    said = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {key: int(said[key].split()[0]) * 1024 / 1e6 for key in ("VmRSS", "VmHWM")}


def speed(bundle: Path) -> Result:
    """End to end beside the bare loop, and preprocessing beside the engine."""
    import numpy as np

    from edge_runtime.embedder import Embedder
    from edge_runtime.engines.engine import COORDINATES
    from edge_runtime.images import fit_into, read_image
    from edge_runtime.stages import feeds_of, random_gallery

    rng = np.random.default_rng(0)
    crops = [rng.integers(0, 256, (*CROP, 3), dtype=np.uint8) for _ in range(16)]
    images = [read_image(crop) for crop in crops]
    found: Result = {}
    with (
        Embedder.load(bundle, engine="onnxruntime", precision="fp32", threads=1) as embedder,
        random_gallery(embedder.bundle, ROWS) as gallery,
    ):
        engine: Any = embedder.engine.engine
        session = engine._session

        def bare(feeds: Any) -> object:
            return session.run([COORDINATES], feeds)

        def whole(batch: int) -> object:
            return gallery.search(embedder.embed(crops[:batch], "rgb"), K)

        for batch, rounds in ((1, 40), (16, 8)):
            alone, ours = _turns(partial(bare, feeds_of(embedder, images, batch)), partial(whole, batch), rounds)
            found[f"batch {batch}"] = {
                "bare crops/s": batch / median(alone), "end to end crops/s": batch / median(ours),
                "ratio": median(alone) / median(ours), "quartiles": _quartiles(alone, ours),
            }  # fmt: skip
        feeds = feeds_of(embedder, images, 1)
        fit, target = embedder.bundle.preprocessing, feeds["pixels"][0].copy()
        run, prepare = _turns(lambda: engine.run(feeds), lambda: fit_into(read_image(crops[0]), fit, target), 40)
        told = {"engine ms": 1e3 * median(run), "preprocessing ms": 1e3 * median(prepare)}
        found["preprocessing"] = {**told, "share": median(prepare) / median(run)}
    return found


def _turns(one: Callable[[], object], other: Callable[[], object], rounds: int) -> tuple[list[float], list[float]]:
    """CPU seconds of two calls that take turns, and take turns at being first."""
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 3):
        for which in (number % 2, 1 - number % 2):
            begun = time.process_time()
            (one, other)[which]()
            # The first three warm up.
            if number >= 3:
                taken[which].append(time.process_time() - begun)
    return taken


def _quartiles(bare: list[float], ours: list[float]) -> list[float]:
    ratios = sorted(a / b for a, b in zip(bare, ours, strict=True))
    return [ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]]


PARTS: dict[str, Callable[[Path], Result]] = {"memory": memory, "speed": speed}


def measured(part: str, bundle: Path) -> Result:
    """A part in a process of its own."""
    words = [sys.executable, "-m", "benchmarks.edge", "--part", part, "--bundle", str(bundle)]
    alone = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    result: Result = json.loads(subprocess.run(words, stdout=subprocess.PIPE, check=True, text=True, env=alone).stdout)
    return result


def make_bundle(folder: Path, student: str, height: int, width: int) -> Path:
    """A bundle of a student that nobody trained, in fp32."""
    from benchmarks.export import student as make_student
    from export.batch import Profile
    from export.bundle.contents import contents_of
    from export.bundle.write import write_bundle
    from export.crops import synthetic_crops
    from export.graph.image import image_graph
    from export.graph.space import space_id
    from export.session import open_session, run_crops

    source = make_student(folder / "student", student, height, width)
    graph, crops = image_graph(source), synthetic_crops(source.preprocessing, 4)
    reference = run_crops(open_session(graph), crops)
    contents = contents_of(
        source, [], space_id=space_id(source), check=crops, reference=reference, graphs={"fp32": graph},
        profile=Profile(1, 8, 16),
    )  # fmt: skip
    return write_bundle(folder / "bundle", contents)


# -------------------------------------------------------------------------------------------------------- the wheels


def wheels(names: Iterable[str]) -> Result:
    """Python -> the aarch64 wheels that pip finds for these and all that they depend on, or why it does not."""
    found: Result = {}
    for python in PYTHONS:
        words = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
        words += ["--only-binary=:all:", "--python-version", python, "--implementation", "cp", "--target", "unused"]
        words += [word for name in PLATFORMS for word in ("--platform", f"{name}_aarch64")]
        done = subprocess.run([*words, *names], capture_output=True, text=True)
        if done.returncode:
            found[python] = {"error": done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "pip failed"}
        else:
            urls = [entry["download_info"]["url"] for entry in json.loads(done.stdout)["install"]]
            found[python] = {"wheels": sorted(url.rpartition("/")[2].partition("#")[0] for url in urls)}
    return found


def show_wheels(found: Result) -> bool:
    """Whether everything is there."""
    for python, result in found.items():
        if "error" in result:
            print(f"- Python {python}: {result['error']}")
        else:
            named = ["-".join(wheel.split("-")[:2]) for wheel in result["wheels"]]
            print(f"- Python {python}: all {len(named)} are there: {', '.join(named)}")
    return not any("error" in result for result in found.values())


# --------------------------------------------------------------------------------------------------------- the table


def show(found: dict[str, Result]) -> None:
    """A table with the bars that are to be held."""
    rows = [("what", "measured", "to hold")]
    if "size" in found:
        rows.append(("base install with dependencies, MB", f"{found['size']['base MB']:.1f}", "< 160"))
        rows.append(("what the extra `edge` adds, MB", f"{found['size']['extra edge MB']:.1f}", ""))
    if "start" in found:
        rows += [
            (f"{name}, CPU s", f"{value:.3f}", "< 0.35" if name == "import edge_runtime" else "")
            for name, value in found["start"].items()
            if not isinstance(value, bool)
        ]
        rows.append(("torch is imported", str(found["start"]["torch is imported"]).lower(), "false"))
    if "memory" in found:
        rows.append(("resident with the engine loaded, MB", f"{found['memory']['now']:.0f}", "< 350"))
        rows.append(("its high-water mark, MB", f"{found['memory']['peak']:.0f}", ""))
    for batch in (1, 16) if "speed" in found else ():
        one = found["speed"][f"batch {batch}"]
        low, high = one["quartiles"]
        rows.append((f"bare session.run, batch {batch}, crops a CPU second", f"{one['bare crops/s']:.1f}", ""))
        rows.append(
            (
                f"array in, top 10 of {ROWS} out, batch {batch}",
                f"{one['ratio']:.3f} x bare ({low:.2f}-{high:.2f})",
                ">= 0.9",
            )
        )
    if "speed" in found:
        one = found["speed"]["preprocessing"]
        told = f"{one['preprocessing ms']:.2f} of {one['engine ms']:.1f} ms, {100 * one['share']:.1f} %"
        rows.append(("preprocessing of a 200 x 80 crop beside the engine", told, "< 10 %"))
    for number, row in enumerate(rows):
        print("| " + " | ".join(row) + " |")
        if not number:
            print("| --- | --- | --- |")
    for part in ("base", "extra edge") if "size" in found else ():
        listed = sorted(found["size"][part].items(), key=lambda pair: -pair[1])
        print(f"- {part}: " + ", ".join(f"{name} {value:.1f}" for name, value in listed))


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=[[], "size", "start", "memory", "speed", "wheels"], metavar="WHAT")
    parser.add_argument("--student", default="vit-s")
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--bundle", type=Path, help="an fp32 bundle that is there, instead of a new one")
    parser.add_argument("--milvus", action="store_true", help="wheels: of pymilvus, too")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        print(json.dumps(PARTS[given.part](given.bundle)))
        return
    asked = given.what or ["size", "start", "memory", "speed"]
    found: dict[str, Result] = {}
    good = True
    with tempfile.TemporaryDirectory() as temporary:
        if "size" in asked:
            found["size"] = size()
        if "start" in asked:
            found["start"] = start()
        if {"memory", "speed"} & set(asked):
            bundle = given.bundle or make_bundle(Path(temporary), given.student, given.height, given.width)
            found |= {part: measured(part, bundle) for part in ("memory", "speed") if part in asked}
        if "wheels" in asked:
            found["wheels"] = wheels([*BASE, *EDGE, *(["pymilvus"] if given.milvus else [])])
            good = show_wheels(found["wheels"])
    if set(asked) - {"wheels"}:
        show(found)
    if given.json:
        machine = {"machine": platform.machine(), "python": platform.python_version(), "cores": os.cpu_count()}
        given.json.write_text(json.dumps({**machine, "student": given.student, **found}, indent=1) + "\n")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
