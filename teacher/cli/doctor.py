"""`teacher doctor`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from reid.cli.options import read_data
from reid.embeddings import EmbeddingStore
from reid.errors import UserError
from teacher.cli.options import data_option, open_teacher, teacher_options


@click.command("doctor")
@click.argument("checkpoint", required=False, type=click.Path(path_type=Path))
@teacher_options
@click.option("--store", type=click.Path(path_type=Path), help="Recompute some rows of this store too.")
@click.option("--data", help="The store's data set, if it is no longer where the store saw it.")
@data_option
@click.option("--rows", type=click.IntRange(1), default=64, show_default=True, help="How many rows of the store.")
def doctor(
    checkpoint: Path | None,
    base: str | None,
    revision: str | None,
    recipe_name: str | None,
    changes: tuple[str, ...],
    device: str,
    dtype: str,
    merge: bool | None,
    store: Path | None,
    data: str | None,
    settings: tuple[str, ...],
    rows: int,
) -> None:
    """Load a checkpoint, say what was trained, and check on synthetic people that it does what it says.

    Padding and batches do not change an embedding, numbers are finite, no dimension has collapsed, the adapter is
    active. Exits with code 1 if something is wrong.
    """
    from teacher.doctor import examine, trainable
    from teacher.embedding import recompute_with

    # Whether the adapter is active can only be seen while it is apart from the weights.
    teacher = open_teacher(
        checkpoint, base=base, revision=revision, recipe_name=recipe_name, changes=changes, device=device, dtype=dtype,
        merge=bool(merge),
    )  # fmt: skip
    for line in trainable(teacher):
        click.echo(line)
    findings = examine(teacher)
    for finding in findings:
        click.echo(str(finding))
    problems: list[str] = []
    if store is not None:
        opened = EmbeddingStore.open(store)
        if opened.fingerprint["model"] != teacher.identity:
            raise UserError(f"{store}: was made by another model than {teacher.checkpoint or teacher.base}")
        dataset = read_data((data or opened.manifest.details["dataset"],), settings)
        problems = opened.verify(recompute_with(teacher, dataset), rows=rows)
        for problem in problems:
            click.echo(f"BAD  store: {problem}")
        if not problems:
            click.echo(f"ok   store: {min(rows, len(opened))} rows recomputed with cosine at least 0.999")
    sys.exit(0 if all(finding.good for finding in findings) and not problems else 1)
