"""`teacher init`."""

from __future__ import annotations

from pathlib import Path

import click

SIZES = ("tiny", "small")
"""The keys of `teacher.tiny.SIZES`, which --help need not import torch for."""


@click.command()
@click.option("--size", type=click.Choice(SIZES), default="tiny", show_default=True, help="How large.")
@click.option("--seed", default=0, show_default=True, help="Of weights, people and order.")
@click.option("--out", type=click.Path(path_type=Path), help="The folder to make. Default: runs/base/SIZE-SEED.")
@click.option("--steps", type=click.IntRange(0), help="Of the pre-training. Default: the size's own.")
@click.option("--people", type=click.IntRange(32), help="Of the pre-training. Default: the size's own.")
def init(size: str, seed: int, out: Path | None, steps: int | None, people: int | None) -> None:
    """Make a small checkpoint of the real Qwen2-VL architecture, with a tokenizer of its own, without a network.

    It is pre-trained for two or three minutes to describe synthetic people photographed in RGB, so that fine-tuning has
    something to adapt; infrared and sketches it has never seen. Use it as --base. One that is there already is kept.
    """
    from teacher.tiny import make_base

    place = out or Path("runs/base") / f"{size}-{seed}"
    if out is None and place.exists():
        click.echo(f"{place} is there already; remove it to make it again")
        return
    losses = make_base(place, size, seed, steps=steps, people=people)
    ends = ", ".join(f"{name} {loss:.2f}" for name, loss in losses.items())
    told = f"pre-trained to losses of {ends} nats" if losses else "not pre-trained"
    click.echo(f"wrote {place}: Qwen2-VL of size {size}, {told}")
