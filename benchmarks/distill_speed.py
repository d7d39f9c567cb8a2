"""Speed and memory of distilling: a step beside a bare one, an epoch beside an online teacher, memory beside the store.

    python -m benchmarks.distill_speed step         vit-s at 256 x 128; images cached and decoded
    python -m benchmarks.distill_speed teacher      images/s from the store and with the teacher in the loop
    python -m benchmarks.distill_speed memory       peak of a run on stores of 10,000 and 1,000,000 rows

Ratios are of one run; medians, with the lowest and highest, of --repeats.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from benchmarks.timing import Steps, seconds, spread
from distill.recipe import load_recipe
from distill.settings import DistillRecipe
from distill.training.run import Run, Source, make_trainer, prepare
from distill.training.trainer import parameter_groups
from reid.dataset import Dataset
from reid.datasets import open_dataset
from reid.embeddings import EmbeddingStore, StoreWriter
from reid.evaluation import format_table
from reid.modality import Modality
from reid.sample import Sample, Split
from reid.synthetic import World, write_world
from teacher.backbone import load_backbone
from teacher.batch import make_batch
from teacher.encoder import Encoder
from teacher.recipe import load_recipe as load_teacher_recipe
from teacher.tiny import make_base
from teacher.training.arguments import training_arguments

DIM = 1536
ROWS = (10_000, 1_000_000)


def write_store(out: Path, dataset: Dataset, dim: int = DIM, extra: int = 0) -> EmbeddingStore:
    """A store of a data set with random embeddings, and of `extra` samples that nobody asks for."""
    samples = list(dataset.samples)
    samples += [Sample(f"extra-{i}", "nobody", Modality.TEXT, Split.TRAIN, text="-") for i in range(extra)]
    writer = StoreWriter(
        out, samples, dim, fingerprint={"data": dataset.fingerprint()}, writer={"command": "benchmark"},
        protocols=dataset.protocols, dataset=str(dataset.root), shard_rows=8192,
    )  # fmt: skip
    generator = np.random.default_rng(0)
    scales = (np.arange(1, dim + 1) ** -0.7).astype(np.float32)
    with writer as plan:
        for shard in plan.pending():
            plan.write(shard, generator.standard_normal((len(plan.rows(shard)), dim), dtype=np.float32) * scales)
    return EmbeddingStore.open(out)


def made(source: Source, name: str, recipe: DistillRecipe) -> Run:
    """A run before its first step."""
    return prepare(source, name, recipe, lambda line: None)


def step(source: Source, name: str, recipe: DistillRecipe, folder: Path, steps: int, repeats: int) -> dict[str, str]:
    """Milliseconds a step of `distill run` and of bare steps on the same batches, and the idle share."""
    ratios, idle, both = [], [], []
    for repeat in range(repeats):
        run = made(source, name, recipe)
        arguments = training_arguments(recipe.training, folder / str(repeat), "cpu")
        trainer = make_trainer(run, arguments, first=False)
        trainer.args.eval_strategy = trainer.args.save_strategy = "no"
        trainer.args.load_best_model_at_end = False
        batches = [batch for batch, _ in zip(trainer.loader, range(steps), strict=False)]
        bare_steps(run, batches[:2])
        bare = seconds(lambda r=run, b=batches: bare_steps(r, b)) / len(batches)  # type: ignore[misc]
        watch = Steps()
        trainer.add_callback(watch)
        trainer.train()
        ours = watch.seconds_a_step()
        ratios.append(ours / bare)
        idle.append(watch.idle[-1])
        both.append((ours, bare, sum(len(batch["pixels"]) for batch in batches) / len(batches)))
    return {
        "student": f"{name}, {recipe.image.height} x {recipe.image.width}",
        "images a step": f"{statistics.median(images for _, _, images in both):.0f}",
        "distill run, ms": f"{1000 * statistics.median(o for o, _, _ in both):.0f}",
        "bare, ms": f"{1000 * statistics.median(b for _, b, _ in both):.0f}",
        "x bare": spread(ratios),
        "idle": f"{100 * statistics.median(idle):.1f} %",
    }


def bare_steps(run: Run, batches: Sequence[Any]) -> None:
    """Forward, squared error to fixed coordinates, backward, optimiser; nothing else."""
    student = run.module.student.train()
    optimiser = torch.optim.AdamW(parameter_groups(run.module, run.recipe))
    for batch in batches:
        outputs = student(batch["pixels"])
        functional.mse_loss(outputs, torch.zeros_like(outputs)).backward()
        optimiser.step()
        optimiser.zero_grad()


def beside_teacher(base: Path, source: Source, recipe: DistillRecipe, folder: Path, repeats: int) -> dict[str, str]:
    """Images a second of training from the store, and of training with the teacher computing its embeddings."""
    run = made(source, "vit-micro", recipe)
    trainer = make_trainer(run, training_arguments(recipe.training, folder / "teacher", "cpu"), first=False)
    teacher_recipe = load_teacher_recipe("mllmembed-tiny")
    encoder = Encoder(load_backbone(str(base), teacher_recipe.image), teacher_recipe.prompts).eval()
    batches = [batch for batch, _ in zip(trainer.loader, range(8), strict=False)]
    images = sum(len(batch["pixels"]) for batch in batches)

    def from_store() -> None:
        bare_steps(run, batches)

    @torch.no_grad()
    def teach() -> None:
        for batch in batches:
            count = len(batch["pixels"])
            pixels = functional.interpolate(batch["pixels"], (teacher_recipe.image.height, teacher_recipe.image.width))
            prompts = make_batch(encoder.book, [Modality.RGB] * count, [None] * count, pixels)
            encoder(prompts, shared=True)

    from_store()
    times = [(seconds(from_store), seconds(teach)) for _ in range(repeats)]
    alone, online = (
        images / statistics.median(times_of) for times_of in ([s for s, _ in times], [s + t for s, t in times])
    )
    return {
        "student": "vit-micro, 128 x 64",
        "from the store, images/s": f"{alone:.0f}",
        "with the teacher, images/s": f"{online:.0f}",
        "x": spread([(s + t) / s for s, t in times]),
    }


def peak_of_run(folder: Path, store: Path, steps: int) -> float:
    """Peak resident MiB of a run of some steps in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return float(pool.apply(_run_and_measure, (folder, store, steps)))


def _run_and_measure(folder: Path, store: Path, steps: int) -> float:
    dataset = open_dataset(str(folder / "people"))
    recipe = quick(steps, "spectrum.rank=64", "image.height=128", "image.width=64")
    run = made(Source(EmbeddingStore.open(store), dataset), "vit-micro", recipe)
    trainer = make_trainer(run, training_arguments(recipe.training, folder / "memory", "cpu"), first=False)
    trainer.args.eval_strategy = trainer.args.save_strategy = "no"
    trainer.args.load_best_model_at_end = False
    trainer.train()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def quick(steps: int, *changes: str) -> DistillRecipe:
    """The default recipe for so many steps."""
    return load_recipe(
        "adaptive-svd", [f"training.max_steps={steps}", f"training.log_every={steps}", "training.workers=0", *changes]
    )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("step", "teacher", "memory"))
    parser.add_argument("--student", default="vit-s")
    parser.add_argument("--people", type=int, default=4, help="a step, 4 samples of each, 3 of them images")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS, help="of the stores, for memory")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_world(World(seed=0, people=60, cameras=4), folder / "people", workers=2)
        dataset = open_dataset(str(folder / "people"))
        rows = []
        if given.what == "memory":
            for count in given.rows:
                write_store(folder / str(count), dataset, extra=max(0, count - len(dataset.samples)))
                start = time.perf_counter()
                peak = peak_of_run(folder, folder / str(count), given.steps)
                rows.append({"rows of the store": f"{count:,}", "peak, MiB": f"{peak:.0f}",
                             "seconds": f"{time.perf_counter() - start:.0f}"})  # fmt: skip
        elif given.what == "teacher":
            make_base(folder / "base", steps=0)
            small = quick(8, "spectrum.rank=64", "image.height=128", "image.width=64")
            source = Source(write_store(folder / "store", dataset), dataset)
            rows.append(beside_teacher(folder / "base", source, small, folder, given.repeats))
        else:
            source = Source(write_store(folder / "store", dataset), dataset)
            for images, cache in (("cached", 1024), ("decoded", 0)):
                changes = f"training.cache={cache}", f"sampling.people={given.people}"
                recipe = quick(given.steps, "spectrum.rank=64", *changes)
                measured = step(source, given.student, recipe, folder / images, given.steps, given.repeats)
                rows.append({"images": images, **measured})
        print(format_table(rows))
        print(json.dumps({"threads": torch.get_num_threads(), "torch": torch.__version__}))


if __name__ == "__main__":
    main()
