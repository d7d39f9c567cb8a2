"""`teacher eval`."""

from __future__ import annotations

from pathlib import Path

import click

from reid.artifact import newest
from reid.cli.options import read_data, spec_of
from reid.embeddings import KIND as STORE_KIND
from reid.embeddings import EmbeddingStore
from reid.errors import UserError
from teacher.cli.options import batch_option, data_option, is_kind, open_teacher, teacher_options


@click.command("eval")
@click.argument("target", required=False, type=click.Path(path_type=Path), metavar="[STORE | CHECKPOINT]")
@click.option("--data", help="The data set, as KIND:ROOT or the path of a manifest. Default: the store's own.")
@data_option
@teacher_options
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for pictures, report.txt and report.json."
)
@click.option("--val", is_flag=True, help="Score the validation people instead of the test people.")
@click.option(
    "--queries", type=click.IntRange(1), default=8, show_default=True, help="How many queries a rank list shows."
)
@batch_option
def evaluate_command(
    target: Path | None,
    data: str | None,
    settings: tuple[str, ...],
    base: str | None,
    revision: str | None,
    recipe_name: str | None,
    changes: tuple[str, ...],
    device: str,
    dtype: str,
    merge: bool | None,
    out: Path | None,
    val: bool,
    queries: int,
    batch: int,
) -> None:
    """Score every modality against every modality: mAP, rank-1, mINP, each with its protocol's name.

    Give a store, or a checkpoint (or --base) and --data: then the store is made first, as OUT/embeddings. With --out,
    rank lists (green: the right person, red: another) and a map of the space are drawn. Without a target, the newest
    store is scored, or with --data the newest checkpoint.
    """
    from teacher.checkpoint import KIND
    from teacher.embedding import reuse_store
    from teacher.evaluation.report import draw, report, save

    if target is None and base is None and data is None:
        target = newest(STORE_KIND, Path("runs"))
        click.echo(f"taking the newest store, {target}", err=True)
    dataset = None
    if target is not None and not is_kind(target, KIND):
        store = EmbeddingStore.open(target)
        asked = {"--base": base, "--revision": revision, "--recipe": recipe_name, "--set": changes, "--merge": merge}
        for option, value in asked.items():
            if value:
                raise UserError(f"{option}: {target} is a store, already embedded; give the checkpoint instead")
    else:
        if data is None or out is None:
            raise UserError(
                "a checkpoint or a base is scored on a data set: name it with --data, and a folder with --out"
            )
        dataset = read_data((data,), settings)
        teacher = open_teacher(
            target, base=base, revision=revision, recipe_name=recipe_name, changes=changes, device=device, dtype=dtype,
            merge=merge,
        )  # fmt: skip
        store = reuse_store(
            teacher, dataset, out / "embeddings", source=spec_of((data,), settings), batch=batch, say=click.echo
        )
    result = report(store, val=val)
    click.echo(str(result))
    if out is not None:
        save(result, out)
        dataset = dataset or read_data((data or store.manifest.details["dataset"],), settings)
        for path in draw(result, store, dataset, out, val=val, queries=queries):
            click.echo(f"wrote {path}")
        click.echo(f"wrote {out / 'report.txt'} and {out / 'report.json'}")
