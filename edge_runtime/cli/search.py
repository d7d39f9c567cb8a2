"""`edge search`."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from edge_runtime.bundle import Bundle
from edge_runtime.cli.options import (
    Speaker,
    bundle_options,
    filter_options,
    find_bundle,
    image_modality,
    index_option,
    json_option,
    load_embedder,
    modality_option,
    moment,
    parse_modalities,
    skip_broken_option,
    split_gallery,
    table,
    when,
)
from edge_runtime.gallery import UNKNOWN, Filter, Gallery
from edge_runtime.search import AGGREGATES, Answer, ReRanking, Rules, identify
from reid.cli.options import OutputFile, save_picture
from reid.errors import UserError
from reid.modality import Modality
from reid.similarity import Floats

if TYPE_CHECKING:
    from PIL import Image

    from edge_runtime.sync import MilvusGallery

SERVERS = ("http://", "https://", "unix:")


@dataclass(frozen=True)
class Queries:
    """What is asked.

    Attributes:
        names: [q]. embeddings: [q, k]. modality: of all. shown: [q] images or sentences, for pictures.
    """

    names: tuple[str, ...]
    embeddings: Floats
    modality: Modality
    shown: tuple[Image.Image | str, ...]


@click.command("search")
@click.argument("words", nargs=-1, metavar="[GALLERY | URI] [IMAGE]...")
@click.option("--text", "texts", multiple=True, help="Describe who is looked for; repeatable.")
@click.option("--vectors", type=click.Path(path_type=Path), help="Sentences that the cloud has embedded.")
@modality_option
@click.option("--tracklet", is_flag=True, help="All images show one person: fuse them into one query.")
@click.option("-k", "--k", "top", type=click.IntRange(1), default=10, show_default=True, help="Candidates at most.")
@filter_options
@click.option("--threshold", metavar="COSINE | FILE", help="From which cosine on it is the person; else unknown.")
@click.option("--far", type=float, help="Of a FILE of `reid calibrate`: at this false-accept rate. Default: its least.")
@click.option(
    "--aggregate", type=click.Choice(AGGREGATES), default="best", show_default=True, help="Score of a person."
)
@click.option("--rows-of-person", type=click.IntRange(1), default=3, show_default=True, help="Of --aggregate mean.")
@click.option("--rerank", type=click.IntRange(2), metavar="N", help="Re-rank the best N rows by common neighbours.")
@click.option("--centre", is_flag=True, help="Take each modality's mean in the gallery off first.")
@click.option("--show", type=OutputFile(".png"), help="Draw queries and ranked crops.")
@index_option
@bundle_options
@skip_broken_option
@json_option
def search_command(
    words: tuple[str, ...], texts: tuple[str, ...], vectors: Path | None, modality: str | None, tracklet: bool,
    top: int, cameras: tuple[str, ...], not_cameras: tuple[str, ...], modalities: tuple[str, ...], since: str | None,
    until: str | None, known: bool | None, threshold: str | None, far: float | None, aggregate: str,
    rows_of_person: int, rerank: int | None, centre: bool, show: Path | None, index: str, skip_broken: bool,
    as_json: bool, bundle_path: Path | None, key: Path | None, **chosen: Any,
) -> None:  # fmt: skip
    """Who is this? The best candidates of a gallery for each image or sentence; "unknown" is an answer, too.

    Without --threshold the best candidate is named whatever its score. With the URI of a Milvus server instead of a
    file, the rows of all devices that ship there are searched (MILVUS_TOKEN is its user:password); it has no crops.

    \b
    edge search people.db crop.jpg --threshold 0.55 --not-camera door --show answer.png
    edge search people.db --text "a man in a red coat with a backpack" --since 2h
    """
    say = Speaker(as_json)
    place: Path | str
    if words and words[0].startswith(SERVERS):
        place, images = words[0], list(words[1:])
    else:
        place, images = split_gallery(words, say)
    if bool(images) == bool(texts or vectors):
        raise UserError("search: expected either images, or --text and --vectors")
    now = time.time()
    where = Filter(
        cameras or None, not_cameras or None, moment(since, "--since", now), moment(until, "--until", now),
        parse_modalities(modalities, "--seen-in"), None, known,
    )  # fmt: skip
    least = read_threshold(threshold, far)
    bundle = find_bundle(bundle_path, key, say)
    with _opened(place, bundle, index) as g:
        if images:
            queries, skipped = _of_images(images, bundle, modality, tracklet, skip_broken, say, chosen)
        else:
            queries, skipped = _of_texts(texts, vectors, bundle, chosen["threads"], say), []
        rules = Rules(
            top, least, aggregate, rows_of_person, None if rerank is None else ReRanking(rerank),
            (queries.modality, g.means()) if centre else None,
        )  # fmt: skip
        answers = identify(g, queries.embeddings, where, rules) if len(queries.names) else []
        if least is None and answers:
            say.note("no --threshold: the best candidate is named whatever its score; `reid calibrate` finds one")
        for name, answer in zip(queries.names, answers, strict=True):
            _tell(say, name, answer, least)
        for note in g.notes if isinstance(g, Gallery) else ():
            say.note(f"note: {note}")
        if show is not None and answers:
            from edge_runtime.show import draw_answers

            picture = draw_answers(g, queries.names, queries.shown, answers, least, top=top, title=f"gallery {place}")
            save_picture(picture, show) if not as_json else _save_quietly(picture, show)
        say.document(
            {
                "gallery": str(place), "rows": g.count, "threshold": least, "skipped": skipped,
                "answers": [as_document(name, answer) for name, answer in zip(queries.names, answers, strict=True)],
            }
        )  # fmt: skip


def _opened(place: Path | str, bundle: Bundle, index: str) -> Gallery | MilvusGallery:
    """The gallery of the bundle's space in a file, or on a server, to be read."""
    if isinstance(place, Path):
        return Gallery.open(place, space_id=bundle.space_id, dim=bundle.dim, create=False, read_only=True, index=index)
    from edge_runtime.sync import Address, MilvusGallery
    from reid.extras import require

    require("milvus", f"searching {place}", "pymilvus")
    address = Address(place, token=os.environ.get("MILVUS_TOKEN", ""))
    return MilvusGallery.open(address, space_id=bundle.space_id, dim=bundle.dim)


def read_threshold(text: str | None, far: float | None) -> float | None:
    """The cosine of --threshold: a number, or out of a JSON file.

    A file holds a number, {"threshold": number}, or what `reid calibrate --out` writes: {"points": [{"far_asked": ...,
    "threshold": ...}, ...]}.

    Raises:
        UserError: it is none of these, or holds no such false-accept rate.
    """
    if text is None:
        if far is not None:
            raise UserError("--far: chooses in a file; give the file with --threshold")
        return None
    try:
        value = float(text)
    except ValueError:
        return _from_file(Path(text), far)
    if not math.isfinite(value) or far is not None:
        raise UserError(f"--threshold {text}: expected a cosine, -1 to 1, or with --far a file")
    return value


def _from_file(path: Path, far: float | None) -> float:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"--threshold {path}: no such file; expected a cosine, or a file of `reid calibrate`") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"--threshold {path}: cannot be read ({error}); expected JSON") from error
    points = said.get("points") if isinstance(said, dict) else None
    try:
        if points:
            by_rate = {float(point["far_asked"]): float(point["threshold"]) for point in points}
            if far is not None and far not in by_rate:
                rates = ", ".join(f"{rate:g}" for rate in sorted(by_rate))
                raise UserError(f"--far {far:g}: {path} has thresholds for {rates}; ask for one of these")
            return by_rate[min(by_rate) if far is None else far]
        if far is None:
            return float(said["threshold"] if isinstance(said, dict) else said)
    except (KeyError, TypeError, ValueError):
        pass
    raise UserError(f"--threshold {path}: holds no threshold; expected a file of `reid calibrate --out`")


def _of_images(
    images: Sequence[str], bundle: Bundle, modality: str | None, tracklet: bool, skip_broken: bool, say: Speaker,
    chosen: dict[str, Any],
) -> tuple[Queries, list[str]]:  # fmt: skip
    from edge_runtime.enrol import fused
    from edge_runtime.images import read_image

    kind = image_modality(modality, bundle.modalities)
    names, read, skipped = [], [], []
    for name in images:
        try:
            read.append(read_image(Path(name)))
            names.append(name)
        except UserError as error:
            if not skip_broken:
                raise
            skipped.append(str(error))
            say.note(f"skipped: {error}")
    if not read:
        return Queries((), np.empty((0, bundle.dim), np.float32), kind, ()), skipped
    with load_embedder(bundle, say, key=None, **chosen) as embedder:
        rows = embedder.embed(read, kind)
    if not tracklet:
        return Queries(tuple(names), rows, kind, tuple(read)), skipped
    best, row = fused(read, rows, range(len(read)))
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return Queries((f"{names[best]}{more}",), row[None], kind, (read[best],)), skipped


def _of_texts(texts: Sequence[str], vectors: Path | None, bundle: Bundle, threads: int, say: Speaker) -> Queries:
    from edge_runtime.text import TextQueries, TextVectors

    answering = TextQueries.load(bundle, vectors, threads=threads)
    if not texts and isinstance(answering, TextVectors):
        texts = answering.texts
    say.note(f"sentences: {answering.source}")
    return Queries(tuple(texts), answering.embed(texts), Modality.TEXT, tuple(texts))


def _tell(say: Speaker, name: str, answer: Answer, threshold: float | None) -> None:
    say.line(f"{name}: {in_words(answer, threshold)}")
    rows = []
    for rank, candidate in enumerate(answer.candidates, 1):
        hit = candidate.hits[0]
        rows.append(
            (f"{rank}", candidate.person_id or UNKNOWN, f"{candidate.score:.4f}", f"camera {hit.camera_id or '-'}",
             str(hit.modality), when(hit.time), f"row {hit.row_id}")
        )  # fmt: skip
    for line in table(rows, right=(0,)):
        say.line(f"  {line}")


def in_words(answer: Answer, threshold: float | None) -> str:
    """Who it is."""
    if answer.score is None:
        return f"{UNKNOWN} (no row meets the conditions)"
    if answer.matched:
        if answer.person_id is None:
            return f"{UNKNOWN}, seen before ({answer.score:.4f}, row {answer.candidates[0].row_id})"
        return f"{answer.person_id} ({answer.score:.4f})"
    return f"{UNKNOWN} (best {answer.score:.4f}, below {threshold:g})"


def as_document(name: str, answer: Answer) -> dict[str, Any]:
    """An answer, JSON-ready."""
    return {
        "query": name,
        "person": answer.person_id,
        "matched": answer.matched,
        "score": answer.score,
        "candidates": [
            {
                "person": candidate.person_id, "score": candidate.score, "rank_score": candidate.rank_score,
                "rows": [
                    {"id": hit.row_id, "score": hit.score, "camera": hit.camera_id, "modality": str(hit.modality),
                     "time": hit.time}
                    for hit in candidate.hits
                ],
            }
            for candidate in answer.candidates
        ],
    }  # fmt: skip


def _save_quietly(picture: Image.Image, path: Path) -> None:
    from reid.artifact import replacing

    with replacing(path) as part:
        picture.save(part, "png")
