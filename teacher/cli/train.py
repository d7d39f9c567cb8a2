"""`teacher train`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from reid.artifact import newest
from reid.cli.options import data_argument, read_data, skip_broken_option, spec_of
from teacher.cli.options import (
    base_option,
    data_option,
    device_option,
    note,
    recipe_option,
    revision_option,
    set_option,
)


@click.command("train")
@data_argument
@data_option
@base_option
@revision_option
@recipe_option
@set_option
@click.option("--init", type=click.Path(path_type=Path), help="A teacher checkpoint whose adapter is trained on.")
@click.option("--out", type=click.Path(path_type=Path), help="The checkpoint to make. Default: runs/teacher/RECIPE.")
@click.option("--resume", is_flag=True, help="Go on with a training that was interrupted.")
@device_option
@skip_broken_option
def train_command(
    data: tuple[str, ...],
    settings: tuple[str, ...],
    base: str | None,
    revision: str | None,
    recipe_name: str | None,
    changes: tuple[str, ...],
    init: Path | None,
    out: Path | None,
    resume: bool,
    device: str,
    skip_broken: bool,
) -> None:
    """Fine-tune a multimodal LLM into one embedding space.

    People of split train are trained on, people of split val choose the checkpoint (--data-set val_people=8 holds some
    out where a data set publishes none), test is never looked at. Without --base, the newest one of `teacher init` is
    taken, with the recipe mllmembed-tiny; otherwise the recipe is mllmembed.

    \b
    teacher train people --base Qwen/Qwen2-VL-2B-Instruct
    torchrun --nproc-per-node 4 -m teacher train people --base Qwen/Qwen2-VL-2B-Instruct
    """
    from reid.readable import readable
    from teacher.recipe import load_recipe
    from teacher.training.run import train

    if base is None:
        base = str(newest("base", Path("runs")))
        recipe_name = recipe_name or "mllmembed-tiny"
        note(f"taking the newest base, {base}, with the recipe {recipe_name}")
    recipe = load_recipe(recipe_name or "mllmembed", changes)
    dataset = read_data(data, settings)
    if skip_broken:
        samples = tuple(readable(dataset.samples))
        note(f"note: left out {len(dataset.samples) - len(samples):,} samples whose image does not decode")
        dataset = replace(dataset, samples=samples)
    train(
        dataset,
        recipe,
        out or Path("runs/teacher") / recipe.name,
        base=base,
        revision=revision,
        init=init,
        source=spec_of(data, settings),
        device=device,
        resume=resume,
        say=click.echo,
    )
