"""How near a teacher's speed is to what the same weights cost without it.

    python -m benchmarks.teacher_speed              a new base of `teacher init --steps 0`, both recipes
    python -m benchmarks.teacher_speed --base DIR --people 60

Embedding: images per second of `teacher embed` beside a plain batched loop over the same files in the same batches with
the same dtype: transformers' own image processor, the full model with the whole prompt per sample, the last hidden
state. "whole prompt" is our encoder without the shared prefix, "tower" only its vision tower: what shares and what
bounds.

Training: the time of `teacher train`'s steps beside a bare forward, backward and optimiser step of the same batches,
which lie ready in memory; and the share of its time in which it waits for data. "cached": the images were decoded in an
earlier epoch; "decoded": every step reads and decodes its files, as in the first.

Every repetition runs all of them one after the other; printed are medians of the ratios, with the lowest and highest.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn
from transformers import AutoImageProcessor, Qwen2VLForConditionalGeneration

from benchmarks.timing import Steps, seconds, spread
from reid.dataset import Dataset
from reid.datasets import open_dataset
from reid.evaluation import format_table
from reid.modality import Modality
from reid.sample import Sample, Split
from reid.synthetic import World, write_world
from teacher.backbone import load_backbone
from teacher.batch import make_batch
from teacher.checkpoint import bare_teacher
from teacher.data.images import ImageReader
from teacher.embedder import Embedder
from teacher.encoder import Encoder
from teacher.recipe import load_recipe
from teacher.settings import Recipe
from teacher.tiny import make_base
from teacher.training.arguments import training_arguments
from teacher.training.prepare import prepare
from teacher.training.run import make_trainer

BATCH = 64


def plain_loop(base: Path, encoder: Encoder, samples: Sequence[Sample]) -> Callable[[], None]:
    """What a user of transformers would write."""
    model = Qwen2VLForConditionalGeneration.from_pretrained(base, dtype=torch.float32).eval()
    size = encoder.backbone.preprocessing
    processor = AutoImageProcessor.from_pretrained(base, backend="pil", do_resize=False)
    prompts = make_batch(encoder.book, [samples[0].modality] * BATCH, [None] * BATCH, None)["input_ids"]

    @torch.inference_mode()
    def run() -> None:
        for start in range(0, len(samples), BATCH):
            images = []
            for sample in samples[start : start + BATCH]:
                with Image.open(str(sample.image)) as image:
                    images.append(image.convert("RGB").resize((size.width, size.height)))
            ids = prompts[: len(images)]
            read = processor(images, return_tensors="pt")
            kinds = (ids == model.config.image_token_id).int()
            model(
                input_ids=ids, attention_mask=torch.ones_like(ids), mm_token_type_ids=kinds, output_hidden_states=True,
                pixel_values=read["pixel_values"], image_grid_thw=read["image_grid_thw"],
            ).hidden_states[-1][:, -1]  # fmt: skip

    return run


def parts(encoder: Encoder, samples: Sequence[Sample]) -> dict[str, Callable[[], None]]:
    """Our encoder without the shared prefix, and its vision tower alone."""
    preprocessing = encoder.backbone.preprocessing
    reader = ImageReader(preprocessing)
    scale, shift = (torch.from_numpy(v)[:, None, None] for v in preprocessing.scale_and_shift())

    def batches() -> Any:
        for start in range(0, len(samples), BATCH):
            rows = samples[start : start + BATCH]
            pixels = torch.from_numpy(reader.stack([Path(str(s.image)) for s in rows])).float() * scale + shift
            yield make_batch(encoder.book, [rows[0].modality] * len(rows), [None] * len(rows), pixels)

    @torch.inference_mode()
    def whole() -> None:
        for batch in batches():
            encoder(batch)

    @torch.inference_mode()
    def tower() -> None:
        for batch in batches():
            encoder.see(batch)

    return {"whole prompt": whole, "tower": tower}


def embedding(base: Path, recipe: Recipe, samples: Sequence[Sample], repeats: int) -> list[dict[str, str]]:
    """Images per second and ratios to the plain loop."""
    encoder = bare_teacher(load_backbone(str(base), recipe.image), recipe).encoder.eval()
    embedder = Embedder(encoder, batch=BATCH)
    ways: dict[str, Callable[[], Any]] = {
        "plain loop": plain_loop(base, encoder, samples),
        "teacher embed": lambda: embedder.embed(samples),
        **parts(encoder, samples),
    }
    for run in ways.values():
        run()
    times = [{name: seconds(run) for name, run in ways.items()} for _ in range(repeats)]
    prompt = make_batch(encoder.book, [samples[0].modality], [None], None)["input_ids"].shape[1]
    rows = []
    for name in ways:
        ratios = [once["plain loop"] / once[name] for once in times]
        rows.append(
            {
                "recipe": f"{recipe.name}, prompt of {prompt} tokens",
                "": name,
                "images/s": f"{len(samples) / statistics.median(once[name] for once in times):.0f}",
                "x plain loop": spread(ratios),
            }
        )
    return rows


def bare_steps(teacher: nn.Module, optimiser: torch.optim.Optimizer, batches: Sequence[Any]) -> None:
    """Forward, backward, optimiser; nothing else."""
    teacher.train()
    for batch in batches:
        teacher(**batch)["loss"].backward()
        optimiser.step()
        optimiser.zero_grad()


def training(base: Path, recipe: Recipe, dataset: Dataset, folder: Path, steps: int, repeats: int) -> dict[str, str]:
    """Milliseconds a step of the Trainer and of the bare steps, and the idle share."""
    ratios, idle, both = [], [], []
    for repeat in range(repeats):
        arguments = training_arguments(recipe.training, folder / f"{recipe.name}-{repeat}", "cpu")
        prepared = prepare(dataset, recipe, str(base), None, None, arguments.device, lambda line: None)
        trainer = make_trainer(prepared, dataset, recipe, arguments, first=False)
        trainer.args.eval_strategy = trainer.args.save_strategy = "no"
        trainer.args.load_best_model_at_end = False
        batches = [batch for batch, _ in zip(trainer.loader, range(steps), strict=False)]
        teacher, optimiser = trainer.teacher, trainer.create_optimizer()
        bare_steps(teacher, optimiser, batches[:2])
        bare = seconds(lambda t=teacher, o=optimiser, b=batches: bare_steps(t, o, b)) / len(batches)  # type: ignore[misc]
        watch = Steps()
        trainer.add_callback(watch)
        trainer.train()
        ours = watch.seconds_a_step()
        ratios.append(ours / bare)
        idle.append(watch.idle[-1])
        both.append((ours, bare))
    size = recipe.sampling.people * recipe.sampling.per_person
    return {
        "recipe": f"{recipe.name}, {size} samples a step",
        "teacher train, ms/step": f"{1000 * statistics.median(o for o, _ in both):.0f}",
        "bare, ms/step": f"{1000 * statistics.median(b for _, b in both):.0f}",
        "x bare": spread(ratios),
        "idle": f"{100 * statistics.median(idle):.1f} %",
    }


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, help="a Qwen2-VL; default: a new small one")
    parser.add_argument("--people", type=int, default=60, help="synthetic people to read")
    parser.add_argument("--images", type=int, default=320)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = given.base or Path(folder) / "base"
        if given.base is None:
            make_base(base, steps=0)
        write_world(World(seed=0, people=given.people, cameras=4), Path(folder) / "people", workers=2)
        dataset = open_dataset(str(Path(folder) / "people"))
        images = [s for s in dataset.samples if s.modality is Modality.RGB][: given.images]
        size = "image={height: 128, width: 64}"
        tiny = load_recipe("mllmembed-tiny")
        rows = [
            row
            for recipe in (load_recipe("mllmembed", [size]), tiny)
            for row in embedding(base, recipe, images, given.repeats)
        ]
        print("Embedding\n\n" + format_table(rows) + "\n")
        print(f"Training on {len(dataset.select(Split.TRAIN)):,} samples\n", flush=True)
        quick = [f"training.max_steps={given.steps}", f"training.log_every={given.steps}"]
        rows = []
        for images_are, cache in (("cached", 1024), ("decoded", 0)):
            cut = load_recipe("mllmembed-tiny", [*quick, f"training.cache={cache}"])
            measured = training(base, cut, dataset, Path(folder) / images_are, given.steps, given.repeats)
            rows.append({"images": images_are, **measured})
        print(format_table(rows))
        print(json.dumps({"threads": torch.get_num_threads(), "torch": torch.__version__}))


if __name__ == "__main__":
    main()
