"""An engine's build that is killed, again and again: is the cache ever wrong, and does the next start serve?

    python -m benchmarks.edge_build_faults                    # 200 rounds; minutes
    python -m benchmarks.edge_build_faults --rounds 20

How it works
- A process starts on a bundle and builds its engine (16 MB from a stand-in for TensorRT, so that no GPU is needed; the
  child process, lock, files and signals are real). After a random time of up to --longest seconds SIGKILL ends it, or,
  in every second round, the process that builds for it.
- After each round every engine in the cache must be one that its sidecar vouches for, or none: `look_up` must never
  give bytes that are not an engine's. A process whose builder was killed must end with an engine or with ONNX Runtime.
- Every tenth round a start is let finish: it must serve by TensorRT, and leave nothing half-written.
- The engine is then removed, so that the next round builds again.
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
import time
from collections import Counter
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACES = [ROOT, *(ROOT / "tests" / place for place in ("export", "export/tensorrt", "edge_runtime/engines"))]
PLAN = 16 << 20


def serve(folder: Path) -> None:
    """One start; prints what serves."""
    from dataclasses import replace

    from edge_runtime.cuda import Cuda
    from edge_runtime.device import look
    from edge_runtime.embedder import Embedder
    from edge_runtime.engines.tensorrt.machine import Machine

    library = folder / "libcudart.so"
    cuda = Cuda(library if library.exists() else import_module("native").fake_cudart(folder))
    trt = import_module("stand_in").stand_in("10.3.0")
    machine = Machine(replace(look(), gpus=(87,)), trt, cuda, module="stub_tensorrt")
    with Embedder.load(folder / "bundle", cache=folder / "engines", wait=True, machine=machine, threads=1) as made:
        print(made.engine.name, flush=True)


def prepare(folder: Path) -> None:
    """A bundle of a graph that the stand-in knows, and what its builder is to do."""
    import numpy as np
    import onnx

    from edge_runtime.preprocess import Preprocessing
    from export.batch import Profile
    from export.crops import synthetic_crops

    fit = Preprocessing(8, 4)
    crops = synthetic_crops(fit, 3)
    model = onnx.load_model_from_string(import_module("small_graphs").means())
    import_module("small_bundles").small_bundle(
        folder, metadata=False, preprocessing=fit, dim=3, graphs={"fp16": model},
        crops=crops, reference=crops.pixels.astype(np.float32).mean(axis=(1, 2)), profile=Profile(2, 3, 4),
    )  # fmt: skip
    (folder / "asked.json").write_text(json.dumps({"log": str(folder / "builds.log"), "bytes": PLAN}))


def sound(cache: Path, tally: Counter[str]) -> None:
    """Hold every engine of the cache against its sidecar, as a start does."""
    from edge_runtime.batch import Profile
    from edge_runtime.engines.tensorrt.cache import Key, look_up

    for sidecar in cache.glob("*.b*.json"):
        if sidecar.name.endswith(".failed.json"):
            tally["failures kept"] += 1
            continue
        raw = json.loads(sidecar.read_text())["key"]
        found = look_up(cache, Key(**{**raw, "profile": Profile(**raw["profile"])}))
        if found.plan is not None:
            tally["whole engines"] += 1
            tally["wrong engines"] += len(found.plan) != PLAN or not found.plan.startswith(b"plan of 10.3.0")
    for path in cache.glob("*.engine"):
        tally["engines"] += 1
        path.unlink()
        path.with_suffix(".json").unlink(missing_ok=True)


def children(process: subprocess.Popen[str]) -> list[int]:
    """Processes that it has started and that live."""
    try:
        return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    except OSError:
        return []


def strike(process: subprocess.Popen[str], builder: bool, after: float) -> str:
    """Kill the process, or the one that builds for it, some seconds after it has started; which it was."""
    while builder and process.poll() is None and not children(process):
        time.sleep(0.001)
    time.sleep(after)
    victims = children(process)[:1] if builder else [process.pid]
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    return ("builders killed" if builder else "processes killed") if victims else "struck too late"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--longest", type=float, default=1.5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sys.path[:0] = map(str, PLACES)
    if options.serve is not None:
        serve(options.serve)
        return
    rng, tally = random.Random(options.seed), Counter[str]()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prepare(folder)
        environment = {
            **os.environ, "STUB_TENSORRT": str(folder / "asked.json"), "PYTHONPATH": os.pathsep.join(map(str, PLACES)),
        }  # fmt: skip
        command = [sys.executable, "-m", "benchmarks.edge_build_faults", "--serve", str(folder)]
        for number in range(options.rounds):
            process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=ROOT)
            finishing = number % 10 == 9
            if not finishing:
                builder = number % 2 == 1
                after = rng.uniform(0, options.longest * (0.3 if builder else 1))
                tally[strike(process, builder, after)] += 1
            out, _ = process.communicate()
            if process.returncode == 0:
                tally[f"served by {out.strip()}"] += 1
            elif process.returncode != -signal.SIGKILL:
                tally["failed starts"] += 1
            if finishing:
                tally["finished"] += 1
                tally["did not serve by TensorRT"] += out.strip() != "tensorrt"
                left = [path.name for path in (folder / "engines").glob("*.partial")]
                tally["half-written files left"] += len(left)
            sound(folder / "engines", tally)
    for name in ("wrong engines", "failed starts", "did not serve by TensorRT", "half-written files left"):
        tally[name] += 0
    print(json.dumps({"rounds": options.rounds, **dict(sorted(tally.items()))}, indent=1))


if __name__ == "__main__":
    main()
