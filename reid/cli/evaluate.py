"""`reid evaluate`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click

from reid.artifact import write_text
from reid.cli.options import OutputFile, open_stores, save_picture
from reid.dataset import find_protocol
from reid.datasets import open_dataset
from reid.embeddings import EmbeddingStore
from reid.errors import UserError
from reid.evaluation import Evaluation, Scorer, evaluate, format_table, mean_row
from reid.protocol import Protocol, on_validation
from reid.similarity import CosineScores
from reid.trials import applies


@click.command("evaluate")
@click.argument("stores", nargs=-1, type=click.Path(path_type=Path), metavar="[STORE]...")
@click.option("--protocol", "names", multiple=True, help="A protocol of the store; repeatable. Default: its first.")
@click.option("--all", "every", is_flag=True, help="All protocols of the store.")
@click.option("--val", is_flag=True, help="Score the validation people instead of the test people.")
@click.option("--rerank", is_flag=True, help="Re-rank by k-reciprocal encoding (Zhong et al., CVPR 2017).")
@click.option("--k1", default=20, show_default=True, help="Re-ranking: neighbours of the reciprocal sets.")
@click.option("--k2", default=6, show_default=True, help="Re-ranking: neighbours of the query expansion.")
@click.option("--lambda", "weight", default=0.3, show_default=True, help="Re-ranking: weight of the plain distance.")
@click.option("--squared-twice", is_flag=True, help="Re-ranking as torchreid calls it, on already squared distances.")
@click.option("--save", type=OutputFile(".json"), help="Write everything as JSON, ranks included.")
@click.option("--rank-lists", type=OutputFile(".png"), help="Draw rank lists as a PNG.")
@click.option("--data", help="The data set's KIND:ROOT, if its images are no longer where the store saw them.")
@click.option(
    "--queries", type=click.IntRange(1), default=8, show_default=True, help="How many queries the rank lists show."
)
def evaluate_command(
    stores: tuple[Path, ...],
    names: tuple[str, ...],
    every: bool,
    val: bool,
    rerank: bool,
    k1: int,
    k2: int,
    weight: float,
    squared_twice: bool,
    save: Path | None,
    rank_lists: Path | None,
    data: str | None,
    queries: int,
) -> None:
    """Score embedding stores: CMC, mAP and mINP, by the exact protocols of their data set.

    Without a STORE, the newest one under ./runs is taken. Several stores (the ten trials of RegDB, several seeds) are
    scored one by one and as their mean.
    """
    scorer, scores = _scorer(k1, k2, weight, squared_twice) if rerank else (CosineScores, "cosine")
    results: list[tuple[EmbeddingStore, Evaluation]] = []
    if every and names:
        raise UserError("--all takes every protocol; use --protocol without it")
    opened = open_stores(stores)
    _refuse_repeated(opened)
    for store in opened:
        embeddings = store.embeddings()
        for protocol in _protocols(store, names, every, val):
            result = evaluate(protocol, store.table, embeddings, scorer=scorer, scores=scores, progress=True)
            results.append((store, result))
    _print(results)
    if save is not None:
        _save(results, save)
    if rank_lists is not None:
        from reid.rank_lists import draw_rank_lists

        store, result = results[0]
        try:
            dataset = open_dataset(data or store.manifest.details["dataset"])
        except UserError as error:
            raise UserError(
                f"{error}; the images of {store.path} are looked for there: name their place with --data"
            ) from error
        picture = draw_rank_lists(result, store.table, store.embeddings(), dataset, scorer=scorer, queries=queries)
        save_picture(picture, rank_lists)


def _scorer(k1: int, k2: int, weight: float, squared_twice: bool) -> tuple[Scorer, str]:
    from reid.rerank import ReRanked

    name = f"k-reciprocal re-ranking, k1={k1} k2={k2} lambda={weight}" + (", squared twice" if squared_twice else "")
    return partial(ReRanked, k1=k1, k2=k2, lambda_=weight, squared_twice=squared_twice, progress=True), name


def _protocols(store: EmbeddingStore, names: Sequence[str], every: bool, val: bool) -> list[Protocol]:
    turn = on_validation if val else (lambda protocol: protocol)
    if not every:
        return [turn(find_protocol(store.protocols, name, str(store.path))) for name in names or (None,)]
    asked = [turn(p) for p in store.protocols if not val or (p.query_groups is None and p.galleries is None)]
    usable = [protocol for protocol in asked if applies(protocol, store.table)]
    left_out = [protocol.name for protocol in asked if protocol not in usable]
    if left_out:
        click.echo(f"{store.path} lacks the samples for {', '.join(left_out)}", err=True)
    return usable or [turn(find_protocol(store.protocols, None, str(store.path)))]


def _refuse_repeated(stores: Sequence[EmbeddingStore]) -> None:
    """A store that is named twice would count twice in the mean; stores of several models have no common mean."""
    digests = [store.manifest.sha256 for store in stores]
    for store in stores:
        if digests.count(store.manifest.sha256) > 1:
            raise UserError(f"{store.path}: is named twice, or a copy of it is; name each store once")
    models = {store.fingerprint.get("model", "") for store in stores}
    if len(models) > 1:
        click.echo(f"warning: the mean is over different models: {', '.join(sorted(models))}", err=True)


def _print(results: Sequence[tuple[EmbeddingStore, Evaluation]]) -> None:
    stores = dict.fromkeys(store.path for store, _ in results)
    rows = [result.row() for _, result in results]
    if len(stores) > 1:
        rows = [{"store": str(store.path), **row} for (store, _), row in zip(results, rows, strict=True)]
        for name in dict.fromkeys(result.protocol.name for _, result in results):
            same = [result for _, result in results if result.protocol.name == name]
            rows.append({"store": f"mean of {len(same)}", **mean_row(same)})
    else:
        for group in dict.fromkeys(r.protocol.group for _, r in results if r.protocol.group):
            same = [result for _, result in results if result.protocol.group == group]
            rows.append({**mean_row(same), "protocol": f"mean of {group}", "queries": "", "gallery": "", "trials": ""})
    click.echo(format_table(rows))
    for line in _notes([result for _, result in results]):
        click.echo(line)


def _notes(results: Sequence[Evaluation]) -> list[str]:
    """Every note once; one that does not hold for all results names the protocols that it is about."""
    protocols = list(dict.fromkeys(result.protocol.name for result in results))
    about: dict[str, list[str]] = {}
    for result in results:
        for note in result.notes():
            names = about.setdefault(note, [])
            if result.protocol.name not in names:
                names.append(result.protocol.name)
    return [f"- {note}" if names == protocols else f"- {', '.join(names)}: {note}" for note, names in about.items()]


def _save(results: Sequence[tuple[EmbeddingStore, Evaluation]], path: Path) -> None:
    content = [{"store": str(store.path), "fingerprint": store.fingerprint, **r.to_dict()} for store, r in results]
    write_text(path, json.dumps(content, ensure_ascii=False) + "\n")
    click.echo(f"wrote {path}")
