"""Speed of the derived views: photographs per second on one core, per style and size.

    python -m benchmarks.derive                    synthetic photographs
    python -m benchmarks.derive --images FOLDER    photographs of a folder, resized

Each repetition times every style once on the same photographs, so that the ratios compare neighbours in time; printed
are medians of CPU time. "x grey" is the time beside Pillow's decoding of the photograph and conversion to grey: what
the cheapest imitation of infrared costs.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reid.datasets.folders import image_files
from reid.derive.filters import settle_allocator
from reid.derive.infrared import SENSORS, infrared
from reid.derive.sketch import HANDS, sketch
from reid.evaluation import format_table
from reid.images import read_rgb

Photo = NDArray[np.uint8]
SIZES = ((128, 48), (128, 64), (256, 128))


def synthetic_photos(height: int, width: int, number: int) -> list[Photo]:
    """Figures of random colours on grounds of random texture: the work does not depend on what is seen."""
    rng = np.random.default_rng(0)
    photos = []
    for _ in range(number):
        ground = rng.integers(0, 255, (height // 8, width // 8, 3), dtype=np.uint8)
        image = Image.fromarray(ground).resize((width, height), Image.Resampling.BICUBIC)
        upper, lower = (tuple(int(v) for v in rng.integers(0, 255, 3)) for _ in range(2))
        image.paste(upper, (width // 4, height // 8, 3 * width // 4, height // 2))
        image.paste(lower, (width // 3, height // 2, 2 * width // 3, height))
        noise = rng.normal(0, 4, (height, width, 3))
        photos.append(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
    return photos


def folder_photos(folder: Path, height: int, width: int, number: int) -> list[Photo]:
    """The first photographs of a folder at this size."""
    return [np.asarray(read_rgb(path).resize((width, height))) for path in image_files(folder)[:number]]


def methods(photos: list[Photo]) -> dict[str, Callable[[int], object]]:
    """Name -> what is timed, given the number of a photograph."""
    encoded = []
    for photo in photos:
        stream = io.BytesIO()
        Image.fromarray(photo).save(stream, "JPEG", quality=90)
        encoded.append(stream.getvalue())
    timed: dict[str, Callable[[int], object]] = {
        "decode and grey": lambda i: np.asarray(Image.open(io.BytesIO(encoded[i])).convert("L"))
    }
    for style in HANDS:
        timed[f"sketch {style}"] = lambda i, style=style: sketch(photos[i], style=style, seed=i)  # type: ignore[misc]
    for style in SENSORS:
        timed[f"infrared {style}"] = lambda i, style=style: infrared(photos[i], style=style, seed=i)  # type: ignore[misc]
    return timed


def measure(photos: list[Photo], repetitions: int) -> dict[str, dict[str, float]]:
    """Method -> milliseconds of CPU per photograph, photographs per second, ratio to the cheapest."""
    timed = methods(photos)
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(repetitions):
        for name, method in timed.items():
            start = time.process_time()
            for index in range(len(photos)):
                method(index)
            seconds[name].append((time.process_time() - start) / len(photos))
    grey = seconds["decode and grey"]
    return {
        name: {
            "ms": statistics.median(times) * 1e3,
            "per second": 1 / statistics.median(times),
            "x grey": statistics.median(t / g for t, g in zip(times, grey, strict=True)),
        }
        for name, times in seconds.items()
    }


def main() -> None:
    """Measure, print a table per size, write JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="a folder of photographs; synthetic ones without it")
    parser.add_argument("--number", type=int, default=16, help="photographs per repetition")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    args = parser.parse_args()
    settle_allocator()
    results = {}
    for height, width in SIZES:
        photos = (
            folder_photos(args.images, height, width, args.number)
            if args.images
            else synthetic_photos(height, width, args.number)
        )
        results[f"{height}x{width}"] = figures = measure(photos, args.repetitions)
        rows = [
            {
                "method": name,
                "ms": f"{f['ms']:.2f}",
                "per second": f"{f['per second']:.0f}",
                "x grey": f"{f['x grey']:.0f}",
            }
            for name, f in figures.items()
        ]
        print(f"\n{height} x {width}, one core, medians of {args.repetitions} x {len(photos)} photographs")
        print(format_table(rows))
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
