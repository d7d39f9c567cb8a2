"""What the readouts of the methods cost: the time of `teacher embed` beside that of the plain last-token readout.

    python -m benchmarks.methods_speed                new bases of `teacher init --steps 0`, both sizes
    python -m benchmarks.methods_speed --size small

The same weights, prompts and images; only `readout` differs. Every repetition runs all of them one after the other;
printed are medians of the ratios in one repetition, with the lowest and highest. Nothing is trained: weights that the
readout brings cost the same at random.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.timing import seconds, spread
from reid.datasets import open_dataset
from reid.evaluation import format_table
from reid.modality import Modality
from reid.sample import Sample
from reid.synthetic import World, write_world
from teacher.backbone import load_backbone
from teacher.embedder import Embedder
from teacher.encoder import Encoder
from teacher.readout import make_reader
from teacher.recipe import load_recipe
from teacher.tiny import SIZES, make_base

RECIPE = "lvlm-reid-tiny"
PLAIN = "last token"
READOUTS = {
    PLAIN: ["readout.interaction={kind: none}", "readout.css=none"],
    "semantic token, SGI, cameras at the patches": [],
    "semantic token, SGI, no cameras": ["readout.css=none"],
    "semantic token as cross-attention query": ["readout.interaction.kind=cross"],
    "learnt token, SGI": ["readout.token=learnt"],
    "image latents": ["readout.kind=image_latents", "readout.css=none"],
    "visual tokens": ["readout.kind=visual_tokens", "readout.css=none"],
}


def embedders(base: Path, size: str, batch: int) -> dict[str, Embedder]:
    """By readout, each with a base of its own in memory."""
    numbers = SIZES[size]
    image = f"image={{height: {numbers.height}, width: {numbers.width_px}}}"
    made = {}
    for name, changes in READOUTS.items():
        recipe = load_recipe(RECIPE, [image, *changes])
        torch.manual_seed(0)
        backbone = load_backbone(str(base), recipe.image)
        reader = make_reader(recipe.readout, backbone, "manifest", ["c1", "c2", "c3", "c4"])
        made[name] = Embedder(Encoder(backbone, recipe.prompts, reader).eval(), batch=batch)
    return made


def measure(base: Path, size: str, samples: Sequence[Sample], batch: int, repeats: int) -> list[dict[str, str]]:
    """Images per second and the time as a multiple of the plain readout's."""
    ways = embedders(base, size, batch)
    for way in ways.values():
        way.embed(samples[: 2 * batch])
    times = [{name: seconds(lambda w=way: w.embed(samples)) for name, way in ways.items()} for _ in range(repeats)]  # type: ignore[misc]
    return [
        {
            "base": size,
            "readout": name,
            "images/s": f"{len(samples) / statistics.median(once[name] for once in times):.0f}",
            "x time of the last token": spread([once[name] / once[PLAIN] for once in times]),
        }
        for name in ways
    ]


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=tuple(SIZES), action="append", help="of the base; default: every size")
    parser.add_argument("--images", type=int, default=320)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        world = World(seed=0, people=given.images // 8 + 4, cameras=4, modalities=(Modality.RGB,))
        write_world(world, Path(folder) / "people", workers=2)
        dataset = open_dataset(str(Path(folder) / "people"))
        images = [s for s in dataset.samples if s.modality is Modality.RGB][: given.images]
        rows = []
        for size in given.size or SIZES:
            base = Path(folder) / size
            make_base(base, size, steps=0)
            rows += measure(base, size, images, given.batch, given.repeats)
        print(format_table(rows))
        print(json.dumps({"threads": torch.get_num_threads(), "torch": torch.__version__}))


if __name__ == "__main__":
    main()
