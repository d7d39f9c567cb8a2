"""`edge bench`."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from edge_runtime.cli.options import (
    Speaker,
    bundle_options,
    find_bundle,
    index_option,
    json_option,
    load_embedder,
    table,
)
from edge_runtime.gallery import Gallery


@click.command("bench")
@click.argument("gallery", required=False, type=click.Path(path_type=Path))
@click.option("--rows", type=click.IntRange(1), default=10_000, show_default=True, help="Of a random gallery, if none.")
@click.option("--rounds", type=click.IntRange(1), default=200, show_default=True, help="Of each stage.")
@click.option("--seconds", type=click.FloatRange(0.01), default=3.0, show_default=True, help="Of each throughput.")
@click.option("--most-threads", type=click.IntRange(1), help="Throughput with 1 to so many. Default: cores.")
@index_option
@bundle_options
@json_option
def bench_command(
    gallery: Path | None, rows: int, rounds: int, seconds: float, most_threads: int | None, index: str, as_json: bool,
    bundle_path: Path | None, key: Path | None, **chosen: Any,
) -> None:  # fmt: skip
    """How long decoding, preprocessing, the engine and a search take here; crops a second; power and temperature.

    The crops are the bundle's check crops as JPEG files of 80 x 200 pixels. Throughput is from JPEG to embedding: with
    1 to N threads of the engine on a CPU, by 1 to N threads that call it on a GPU. Power and temperature are read from
    a Jetson's own sensors while all this runs.
    """
    from edge_runtime.stages import crops_of, random_gallery, stages, throughput
    from edge_runtime.tegra import Meter

    say = Speaker(as_json)
    bundle = find_bundle(bundle_path, key, say)
    crops = crops_of(bundle.check())
    with ExitStack() as stack:
        meter = stack.enter_context(Meter())
        embedder = stack.enter_context(load_embedder(bundle, say, key=None, wait=True, **chosen))
        if gallery is None:
            opened = stack.enter_context(random_gallery(bundle, rows, index))
        else:
            opened = stack.enter_context(
                Gallery.open(
                    gallery, space_id=bundle.space_id, dim=bundle.dim, create=False, read_only=True, index=index
                )
            )
        serving = embedder.engine
        sizes = sorted({1, bundle.profile.opt, bundle.profile.max})
        found = stages(embedder, opened, crops, rounds=rounds, batches=sizes)
        say.line(f"{bundle.folder}: {serving}")
        counted, scan = opened.count, opened.index
        for line in table(
            [("ms", "p50", "p99"), *((s.name, f"{s.p50:.3f}", f"{s.p99:.3f}") for s in found)], right=(1, 2)
        ):
            say.line(f"  {line}")
        say.line(f"  gallery: {counted} rows, {scan}{'' if gallery else ', of random directions'}")
        rates: dict[int, float] = {}
        for count in range(1, (most_threads or _cores()) + 1):
            if serving.engine.provider.startswith("CPU"):
                with load_embedder(bundle, say, key=None, **{**chosen, "threads": count}) as other:
                    rates[count] = throughput(other, crops, seconds=seconds)
            else:
                rates[count] = throughput(embedder, crops, seconds=seconds, callers=count)
            say.line(f"  {count} thread{'s' if count > 1 else ''}: {rates[count]:.1f} crops/s")
    for line in meter.readings.lines():
        say.line(f"  {line}")
    say.document(
        {
            "bundle": str(bundle.folder), "engine": serving.to_dict(), "gallery": {"rows": counted, "index": scan},
            "ms": [stage.to_dict() for stage in found],
            "crops/s by threads": {str(count): rate for count, rate in rates.items()},
            "sensors": meter.readings.to_dict(),
        }
    )  # fmt: skip


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
