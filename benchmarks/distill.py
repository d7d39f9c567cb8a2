"""How good a student is: by the default recipe and by its rivals, over seeds, on people that no training has seen.

    python -m benchmarks.distill synthetic                  about an hour on two cores, most of it the rivals
    python -m benchmarks.distill photographs ../pku-reid
    python -m benchmarks.distill synthetic --recipes adaptive-svd --seeds 1      one student, four minutes

Teachers are those of `python -m benchmarks.teacher`, made if they are not there. "synthetic" trains on the people of a
world of 4,000 and scores 150 of its test people, then people before the cameras of another world. "photographs" trains
on the real people of PKU-Reid's split.json, from the teacher that saw synthetic people first. All recipes get the same
store, student, steps and seeds. What was made is kept in --work and not made again; remove the folder after a change of
recipe or code.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.teacher import PHOTO_STEPS, TRAINED_ON, photographs_of, photographs_teacher, synthetic_teacher, world
from distill.compare.outcome import Outcome
from distill.compare.run import Comparison, compare
from distill.evaluation.artifact import load_distilled
from distill.evaluation.result import evaluate_student
from distill.evaluation.scores import Direction
from distill.source import open_source
from reid.dataset import Dataset
from reid.datasets import open_dataset
from reid.datasets.manifest import write_manifest
from reid.evaluation import format_table
from reid.sample import Split

RECIPES = (
    "adaptive-svd", "pca-mse", "random-projection", "mse", "cosine", "channel-svd", "phi-s", "vkd", "rkd", "sp", "crd",
    "task",
)  # fmt: skip
STUDENT = "vit-micro"
TEST_WORLD = 100
VALIDATED, TESTED = 100, 150
"""People to choose the checkpoint by, and to score; all of them would cost more than the training."""
COMMON = ("image.height=128", "image.width=64", "training.evaluate_every=200")
STEPS = 600


AUGMENTED = (
    "views=8", "augmentation={flip: 0.5, pad: 8, erase: 0.25, grey: 0.1, brightness: 0.1}"
)  # fmt: skip
"""For photographs, of which there are few: views that teacher and student both see. Chosen on validation people."""


def fewer(folder: Path, people: Dataset) -> Dataset:
    """All people to train on, and some to validate and to test on, as a data set of its own."""
    path = folder / "samples.jsonl"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        samples = list(people.select(Split.TRAIN))
        for split, count in ((Split.VAL, VALIDATED), (Split.TEST, TESTED)):
            chosen = sorted({s.person_id for s in people.select(split)})[:count]
            samples += [s for s in people.select(split) if s.person_id in chosen]
        write_manifest(path, samples)
    return open_dataset(str(path))


def kept(comparison: Comparison) -> str:
    """The first recipe's students beside the teacher, seed by seed."""
    first = comparison.ended[0].recipe
    rows = []
    for outcome in (o for o in comparison.ended if o.recipe == first):
        rows += [_row(f"teacher, seed {outcome.seed}", outcome, Direction.TEACHER),
                 _row(f"... projected to {outcome.rank}", outcome, Direction.CLOUD_TO_CLOUD),
                 _row(f"student, seed {outcome.seed}", outcome, None)]  # fmt: skip
        teacher = outcome.mean_ap[str(Direction.TEACHER)]
        share = {query: f"{100 * value / teacher[query]:.0f} %" for query, value in outcome.deployed.items()}
        rows.append({f"{first}: mAP -> {outcome.gallery}": "kept", **share})
    return format_table(rows)


def _row(what: str, outcome: Outcome, direction: Direction | None) -> dict[str, str]:
    found = outcome.deployed if direction is None else outcome.mean_ap[str(direction)]
    return {
        f"{outcome.recipe}: mAP -> {outcome.gallery}": what,
        **{query: f"{value:.1f}" for query, value in found.items()},
    }


def run(
    out: Path,
    teacher: Path,
    dataset: Dataset,
    spec: str,
    given: argparse.Namespace,
    more: Sequence[str] = (),
) -> None:
    """Distil by each recipe and print the tables."""
    changes = [*COMMON, *more, f"training.max_steps={given.steps}", *given.changes]
    recipes: Sequence[str] = given.recipes
    comparison = compare(
        out, teacher, given.student, recipes, seeds=given.seeds, changes=changes, dataset=dataset, spec=spec,
        say=lambda line: print(line, flush=True),
    )  # fmt: skip
    print(f"\n{comparison}\n\n{kept(comparison)}")


def elsewhere(student: Path, teacher: Path, people: Dataset) -> None:
    """The student of seed 0 on the test people of a world whose cameras nothing was trained on by this teacher."""
    source = open_source(teacher, people, str(people.root), say=lambda line: None)
    report = evaluate_student(load_distilled(student, source).coordinates())
    print(f"\n{student.name} before cameras of another world\n{report.headline()}")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("synthetic", "photographs"))
    parser.add_argument("data", type=Path, nargs="?", help="the folder of PKU-Reid, for photographs")
    parser.add_argument("--recipes", nargs="+", default=RECIPES)
    parser.add_argument("--student", default=STUDENT)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=STEPS, help="of each training")
    parser.add_argument("--set", dest="changes", nargs="+", default=(), help="changes of all recipes")
    parser.add_argument("--teachers", type=Path, default=Path("runs/benchmarks/teacher"))
    parser.add_argument("--work", type=Path, default=Path("runs/benchmarks/distill"))
    given = parser.parse_args()
    given.teachers.mkdir(parents=True, exist_ok=True)
    if given.what == "synthetic":
        _, teacher, _ = synthetic_teacher(given.teachers, 0)
        people = world(given.teachers / f"people-{TRAINED_ON}", TRAINED_ON, 0)
        dataset = fewer(given.work / "people", people)
        out = given.work / "synthetic"
        run(out, teacher, dataset, str(given.work / "people"), given)
        elsewhere(out / f"{given.recipes[0]}-0", teacher, world(given.teachers / f"test-{TEST_WORLD}", TEST_WORLD, 1))
    elif given.data is None:
        parser.error("photographs: give the folder of PKU-Reid")
    else:
        dataset, spec = photographs_of(given.teachers, given.data)
        teacher = photographs_teacher(given.teachers, 0, given.data, PHOTO_STEPS)
        run(given.work / "photographs", teacher, dataset, spec, given, AUGMENTED)


if __name__ == "__main__":
    main()
