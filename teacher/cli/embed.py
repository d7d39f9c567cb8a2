"""`teacher embed`."""

from __future__ import annotations

from pathlib import Path

import click

from reid.cli.options import data_argument, read_data, skip_broken_option, spec_of
from teacher.cli.options import batch_option, data_option, open_teacher, teacher_options


@click.command("embed")
@data_argument
@data_option
@click.option("--teacher", "checkpoint", type=click.Path(path_type=Path), help="A checkpoint. Default: the newest.")
@teacher_options
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The store to write.")
@batch_option
@click.option("--shard-rows", type=click.IntRange(1), default=1024, show_default=True, help="Samples per shard.")
@click.option("--float32", "full", is_flag=True, help="Store float32 instead of float16.")
@skip_broken_option
def embed(
    data: tuple[str, ...],
    settings: tuple[str, ...],
    checkpoint: Path | None,
    base: str | None,
    revision: str | None,
    recipe_name: str | None,
    changes: tuple[str, ...],
    device: str,
    dtype: str,
    merge: bool | None,
    out: Path,
    batch: int,
    shard_rows: int,
    full: bool,
    skip_broken: bool,
) -> None:
    """Write what a teacher knows of a data set to an embedding store, for `reid evaluate` and `distill run`.

    Shards that are there already are kept, so an interrupted run is taken up where it was. With torchrun each process
    embeds its share. With --base alone an untrained base is read by a recipe's prompts.
    """
    from reid.readable import readable
    from teacher.embedding import write_store

    dataset = read_data(data, settings)
    samples = readable(dataset.samples) if skip_broken else list(dataset.samples)
    teacher = open_teacher(
        checkpoint, base=base, revision=revision, recipe_name=recipe_name, changes=changes, device=device, dtype=dtype,
        merge=merge,
    )  # fmt: skip
    write_store(
        teacher, dataset, out, samples=samples, source=spec_of(data, settings), batch=batch, shard_rows=shard_rows,
        dtype="float32" if full else "float16", say=click.echo,
    )  # fmt: skip
