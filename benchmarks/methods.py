"""Three published teachers and the vision tower alone, with the same base, data and steps; and their ablations.

    python -m benchmarks.methods synthetic --seeds 3
    python -m benchmarks.methods photographs ../pku-reid --seeds 3
    python -m benchmarks.methods synthetic --only ablations --seeds 3
    python -m benchmarks.methods synthetic --people 80 --steps 20 --seeds 1     whether it works

Each is trained from the base of `teacher init` of the seed (as `benchmarks.teacher` makes it, kept beside its work), on
the people of a synthetic world or on PKU-Reid, and scored on test people: mAP in per cent, query modality against RGB,
mean and deviation over the seeds. A dash: the method reads no such queries. "orderings" are those that the papers
publish, with the difference in points and in how many of the seeds it has the published sign. Cameras: the test people
of the synthetic world are seen by the cameras of its training people, as in the papers. What was made is kept in
--work.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, pstdev

import torch

from benchmarks.teacher import base_in, photographs_of, show, trained
from reid.dataset import Dataset
from reid.datasets import open_dataset
from reid.evaluation import evaluate
from reid.matrix import matrix_protocols
from reid.modality import Modality
from reid.sample import Split
from reid.synthetic import World, write_world
from reid.table import SampleTable
from teacher.checkpoint import load_teacher
from teacher.embedder import Embedder
from teacher.recipe import load_recipe
from teacher.teacher import Teacher


@dataclass(frozen=True)
class Method:
    """A line of the table: a recipe and what is changed in it."""

    recipe: str
    changes: tuple[str, ...] = ()


LVLM, MLLM = "lvlm-reid-tiny", "mllmreid-tiny"
METHODS = {
    "vision tower alone": Method(LVLM, ("readout.kind=visual_tokens", "readout.css=none")),
    "mllmembed": Method("mllmembed-tiny"),
    "lvlm-reid": Method(LVLM),
    "mllmreid": Method(MLLM),
}
ABLATIONS = {
    "lvlm-reid without PSTG": Method(LVLM, ("readout.token=learnt",)),
    "lvlm-reid without SGI": Method(LVLM, ("readout.interaction.kind=none",)),
    "lvlm-reid, cross-attention query": Method(LVLM, ("readout.interaction.kind=cross",)),
    "lvlm-reid, stopped gradient": Method(LVLM, ("readout.stop_gradient=true",)),
    "lvlm-reid, cameras at the token": Method(LVLM, ("readout.css=token",)),
    "lvlm-reid without cameras": Method(LVLM, ("readout.css=none",)),
    # Of the ReID losses nothing but what the neck needs to have statistics.
    "mllmreid without DirectReID": Method(MLLM, ("objective.id.weight=1e-6", "objective.triplet.weight=0")),
    "mllmreid without Common Instruction": Method(MLLM, ("objective.continuation.weight=0", "objective.balance=0")),
}
ORDERINGS = [
    ("lvlm-reid", "vision tower alone"),
    ("lvlm-reid", "lvlm-reid without PSTG"),
    ("lvlm-reid", "lvlm-reid without SGI"),
    ("lvlm-reid", "lvlm-reid, cross-attention query"),
    ("lvlm-reid", "lvlm-reid, stopped gradient"),
    ("lvlm-reid", "lvlm-reid, cameras at the token"),
    ("lvlm-reid", "lvlm-reid without cameras"),
    ("mllmreid", "mllmreid without DirectReID"),
    ("mllmreid", "mllmreid without Common Instruction"),
]
"""Better, worse, as published, by RGB queries."""
Scores = dict[str, float]


def score(teacher: Teacher, dataset: Dataset) -> Scores:
    """mAP of the test people, each query modality that the teacher reads against RGB."""
    tested = (Split.TEST, Split.QUERY, Split.GALLERY)
    samples = dataset.select(*tested, modalities=teacher.encoder.modalities)
    embeddings = Embedder(teacher.encoder, teacher.readout_neck).embed(samples)
    table, pairs = matrix_protocols(SampleTable.of(samples), dataset.protocols)
    found = {query: protocol for (query, gallery), protocol in pairs.items() if gallery is Modality.RGB}
    return {str(query): 100 * evaluate(protocol, table, embeddings).mean_ap for query, protocol in found.items()}


def data_of(given: argparse.Namespace) -> tuple[str, Dataset]:
    """A name for the folders, and the people."""
    if given.what == "photographs":
        return "photographs", photographs_of(given.work, given.data)[0]
    folder = given.work / f"world-{given.people}"
    if not folder.exists():
        write_world(World(seed=0, people=given.people, cameras=4, sketches=2), folder, workers=os.cpu_count() or 1)
    return folder.name, open_dataset(str(folder))


def run(name: str, method: Method, seed: int, given: argparse.Namespace, where: str, dataset: Dataset) -> Scores:
    """Train and score once; what was done before is read."""
    folder = given.work / f"{where}-{given.steps}"
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / f"{name.replace(' ', '-').replace(',', '')}-{seed}"
    kept = out.with_name(out.name + ".json")
    if not kept.exists():
        steps = [f"training.max_steps={given.steps}", f"training.evaluate_every={given.steps}", f"training.seed={seed}"]
        seconds = trained(
            out, dataset, load_recipe(method.recipe, [*method.changes, *steps]), base_in(given.work, seed)
        )
        found = score(load_teacher(out), dataset)
        kept.write_text(json.dumps(found))
        print(f"{name}, seed {seed}: {seconds:.0f} s, {found}", flush=True)
    scores: Scores = json.loads(kept.read_text())
    return scores


def row(name: str, runs: Sequence[Scores]) -> dict[str, str]:
    """Mean and deviation over the seeds."""
    cells = {"": name}
    for query in map(str, Modality):
        values = [scores[query] for scores in runs if query in scores]
        cells[f"{query}->rgb"] = f"{mean(values):.1f} ± {pstdev(values):.1f}" if values else "-"
    return cells


def orderings(results: dict[str, list[Scores]]) -> list[dict[str, str]]:
    """What the papers say is better, and whether it is here."""
    rows = []
    for better, worse in ORDERINGS:
        if better in results and worse in results:
            gaps = [one["rgb"] - other["rgb"] for one, other in zip(results[better], results[worse], strict=True)]
            agree = sum(gap > 0 for gap in gaps)
            rows.append({"published: better": better, "than": worse, "rgb->rgb here": f"{mean(gaps):+.1f}",
                         "seeds that agree": f"{agree} of {len(gaps)}"})  # fmt: skip
    return rows


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("synthetic", "photographs"))
    parser.add_argument("data", type=Path, nargs="?", help="the folder of PKU-Reid, for photographs")
    parser.add_argument("--only", choices=("methods", "ablations"), help="default: both")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=400, help="of each training, 96 samples each")
    parser.add_argument("--people", type=int, default=1000, help="of the synthetic world")
    parser.add_argument("--work", type=Path, default=Path("runs/benchmarks/methods"))
    given = parser.parse_args()
    if given.what == "photographs" and given.data is None:
        parser.error("photographs: give the folder of PKU-Reid")
    given.work.mkdir(parents=True, exist_ok=True)
    where, dataset = data_of(given)
    # Ablations are compared with the methods that they are of.
    chosen = METHODS if given.only == "methods" else {**METHODS, **ABLATIONS}
    results = {
        name: [run(name, method, seed, given, where, dataset) for seed in range(given.seeds)]
        for name, method in chosen.items()
    }
    print(f"{where}, {given.steps} steps, {given.seeds} seeds: mAP in per cent")
    show([row(name, runs) for name, runs in results.items()])
    show(orderings(results))
    print(json.dumps({"threads": torch.get_num_threads(), "torch": torch.__version__}))


if __name__ == "__main__":
    main()
