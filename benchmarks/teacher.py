"""How good a teacher is: a small base, and what LoRA-SFT makes of it, on people that no training has seen.

    python -m benchmarks.teacher synthetic                  seed 0, about 10 minutes on two cores
    python -m benchmarks.teacher synthetic --seed 1
    python -m benchmarks.teacher photographs ../pku-reid    about fifteen minutes

"synthetic" trains on 4,000 synthetic people and scores people of worlds with another seed; the wall time of training
is printed with the scores. "photographs" trains on the real people of PKU-Reid's split.json (infrared views and
sketches are derived from the photographs first), from the base, from the synthetic teacher, with every weight, and with
each term of the objective left out. What was made is kept in --work and not made again; remove the folder after a
change of recipe or code.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reid.cli.options import spec_of
from reid.dataset import Dataset
from reid.datasets import load_dataset, open_dataset
from reid.evaluation import evaluate, format_table
from reid.matrix import matrix_protocols
from reid.modality import Modality
from reid.sample import Split
from reid.synthetic import World, write_world
from reid.table import SampleTable
from teacher.backbone import load_backbone
from teacher.checkpoint import bare_teacher, load_teacher
from teacher.embedder import Embedder
from teacher.recipe import load_recipe
from teacher.settings import Recipe
from teacher.teacher import Teacher
from teacher.tiny import make_base
from teacher.training.run import train
from teacher.training.state import working_folder

RECIPE = "mllmembed-tiny"
TRAINED_ON = 4000
TEST_WORLDS = (60, 100, 300)
"""People in the worlds whose test people are scored; 60 is the world of `make demo`."""
STEPS = 1250
PHOTO_STEPS = 200
QUERIES = (Modality.RGB, Modality.IR, Modality.SKETCH, Modality.TEXT)
HARD = ("ir", "sketch", "text")
TERMS = {"id": 0.25, "triplet": 0.25, "sdm": 0.25, "infonce": 1.0, "centres": 0.1}
"""Weights of the terms of which each is left out once."""


@dataclass(frozen=True)
class Result:
    """mAP in per cent by query modality against RGB, and the wall seconds of the training."""

    scores: dict[str, float]
    seconds: float = 0.0

    @property
    def hard(self) -> float:
        """Mean over infrared, sketch and text."""
        return float(np.mean([self.scores[name] for name in HARD]))

    def row(self, what: str) -> dict[str, str]:
        """A line of the table."""
        cells = {f"{name}->rgb": f"{value:.1f}" for name, value in self.scores.items()}
        took = f"{self.seconds:.0f} s" if self.seconds else "-"
        return {"": what, **cells, "mean of ir, sketch, text": f"{self.hard:.1f}", "training": took}


def score(teacher: Teacher, dataset: Dataset) -> dict[str, float]:
    """mAP of a data set's test people, each query modality against RGB."""
    samples = [s for s in dataset.samples if s.split in (Split.TEST, Split.QUERY, Split.GALLERY)]
    embeddings = Embedder(teacher.encoder, teacher.readout_neck).embed(samples)
    table, pairs = matrix_protocols(SampleTable.of(samples), dataset.protocols)
    return {str(q): 100 * evaluate(pairs[q, Modality.RGB], table, embeddings).mean_ap for q in QUERIES}


def world(folder: Path, people: int, seed: int) -> Dataset:
    """A synthetic world with one photograph per camera, made if it is not there."""
    if not folder.exists():
        made = World(seed=seed, people=people, cameras=4, per_camera=1 if people == TRAINED_ON else 2, sketches=2)
        write_world(made, folder, workers=os.cpu_count() or 1)
    return open_dataset(str(folder))


def base_in(work: Path, seed: int) -> Path:
    """The base of `teacher init --seed`, made if it is not there."""
    base = work / f"base-{seed}"
    if not base.exists():
        start = time.perf_counter()
        make_base(base, "tiny", seed)
        print(f"made {base} in {time.perf_counter() - start:.0f} s", flush=True)
    return base


def trained(out: Path, dataset: Dataset, recipe: Recipe, base: Path, init: Path | None = None) -> float:
    """Train a checkpoint if it is not there; the wall seconds it took."""
    notes = out.with_name(out.name + ".seconds")
    if not notes.exists():
        # Begun anew, so that the time is that of all of it.
        for remains in (out, working_folder(out)):
            shutil.rmtree(remains, ignore_errors=True)
        start = time.perf_counter()
        train(dataset, recipe, out, base=str(base), init=init, say=lambda line: None)
        notes.write_text(json.dumps(time.perf_counter() - start))
    return float(json.loads(notes.read_text()))


def untrained(base: Path, recipe: Recipe) -> Teacher:
    """A base, read by the recipe's prompts."""
    return bare_teacher(load_backbone(str(base), recipe.image), recipe)


def show(rows: Sequence[dict[str, str]]) -> None:
    """A table."""
    print("\n" + format_table(list(rows)) + "\n", flush=True)


def synthetic_teacher(work: Path, seed: int) -> tuple[Path, Path, float]:
    """Base, checkpoint, and the seconds of its training."""
    base = base_in(work, seed)
    recipe = load_recipe(
        RECIPE, [f"training.max_steps={STEPS}", f"training.evaluate_every={STEPS}", f"training.seed={seed}"]
    )
    out = work / f"synthetic-{seed}"
    people = world(work / f"people-{TRAINED_ON}", TRAINED_ON, 0)
    return base, out, trained(out, people, recipe, base)


def synthetic(work: Path, seed: int) -> None:
    """The table of synthetic people."""
    base, out, seconds = synthetic_teacher(work, seed)
    before, after = untrained(base, load_recipe(RECIPE)), load_teacher(out)
    for people in TEST_WORLDS:
        dataset = world(work / f"test-{people}", people, 1)
        count = len({s.person_id for s in dataset.select(Split.TEST)})
        results = Result(score(before, dataset)), Result(score(after, dataset), seconds)
        print(f"{count} test people of a world of {people}, seed {seed}: mAP in per cent")
        show([results[0].row("base"), results[1].row("LoRA-SFT")])
        print(f"lift of the mean: {results[1].hard - results[0].hard:+.1f} points", flush=True)


def photographs_of(work: Path, data: Path) -> tuple[Dataset, str]:
    """PKU-Reid with infrared views and sketches of its photographs, made if they are not there; and its spec."""
    derived = work / "derived"
    if not derived.exists():
        command = [sys.executable, "-m", "reid", "data", "derive", "pku-reid", str(data), "--out", str(derived)]
        subprocess.run([*command, "--workers", "2"], check=True)
    folders = {"ir": derived.resolve() / "images-ir", "sketch": derived.resolve() / "images-sketch"}
    options = {**{name: str(folder) for name, folder in folders.items()}, "val_people": "8"}
    return load_dataset("pku-reid", data, options), spec_of(
        ("pku-reid", str(data)), [f"{name}={value}" for name, value in options.items()]
    )


def photograph_changes(seed: int, steps: int) -> list[str]:
    """Of the recipe, for the photographs: their steps, and every term of the objective."""
    terms = [f"objective.{name}.weight={weight}" for name, weight in TERMS.items()]
    return [f"training.max_steps={steps}", f"training.seed={seed}", "training.evaluate_every=50", *terms]


def photographs_teacher(work: Path, seed: int, data: Path, steps: int) -> Path:
    """The checkpoint that saw synthetic people first and then the photographs, made if it is not there."""
    base, pretrained, _ = synthetic_teacher(work, seed)
    out = work / f"photographs-{seed}-{steps}" / "both"
    out.parent.mkdir(exist_ok=True)
    recipe = load_recipe(RECIPE, photograph_changes(seed, steps))
    trained(out, photographs_of(work, data)[0], recipe, base, pretrained)
    return out


def photographs(work: Path, seed: int, data: Path, steps: int) -> None:
    """The table of real photographs."""
    dataset, _ = photographs_of(work, data)
    base, pretrained, _ = synthetic_teacher(work, seed)
    common = photograph_changes(seed, steps)
    full = [*common, "tuning.kind=full", "tuning.lr=3e-4"]

    def tuned(name: str, changes: Sequence[str], init: Path | None) -> Result:
        out = work / f"photographs-{seed}-{steps}" / name
        out.parent.mkdir(exist_ok=True)
        seconds = trained(out, dataset, load_recipe(RECIPE, changes), base, init)
        return Result(score(load_teacher(out), dataset), seconds)

    recipe = load_recipe(RECIPE)
    rows = [
        Result(score(untrained(base, recipe), dataset)).row("base"),
        Result(score(load_teacher(pretrained), dataset)).row("LoRA-SFT on synthetic people only"),
        tuned("lora", common, None).row("LoRA-SFT on photographs only"),
        tuned("full", full, None).row("full fine-tuning on photographs only"),
        tuned("both", common, pretrained).row("LoRA-SFT, synthetic people first"),
    ]
    show(rows)
    for name in TERMS:
        # The neck has to train for its output to be read, so "without id" keeps a weight that is nearly nothing.
        weight = 1e-6 if name == "id" else 0
        left_out = [*common, f"objective.{name}.weight={weight}"]
        rows.append(tuned(f"without-{name}", left_out, pretrained).row(f"... without {name}"))
        show(rows)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("synthetic", "photographs"))
    parser.add_argument("data", type=Path, nargs="?", help="the folder of PKU-Reid, for photographs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=PHOTO_STEPS, help="of each training on photographs")
    parser.add_argument("--work", type=Path, default=Path("runs/benchmarks/teacher"))
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    if given.what == "synthetic":
        synthetic(given.work, given.seed)
    elif given.data is None:
        parser.error("photographs: give the folder of PKU-Reid")
    else:
        photographs(given.work, given.seed, given.data, given.steps)


if __name__ == "__main__":
    main()
