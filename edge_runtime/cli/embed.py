"""`edge embed`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from edge_runtime.cli.options import (
    Speaker,
    bundle_options,
    find_bundle,
    image_modality,
    json_option,
    load_embedder,
    modality_option,
    skip_broken_option,
)
from reid.artifact import replacing
from reid.cli.options import OutputFile
from reid.errors import UserError


@click.command("embed")
@click.argument("images", nargs=-1, type=click.Path(path_type=Path))
@click.option("--text", "texts", multiple=True, help="A sentence instead of images; repeatable.")
@click.option("--vectors", type=click.Path(path_type=Path), help="Sentences that the cloud has embedded.")
@modality_option
@bundle_options
@click.option("--out", type=OutputFile(".npz"), help="Write embeddings [n, k] and names to this file.")
@skip_broken_option
@json_option
def embed_command(
    images: tuple[Path, ...], texts: tuple[str, ...], vectors: Path | None, modality: str | None, out: Path | None,
    skip_broken: bool, as_json: bool, bundle_path: Path | None, key: Path | None, **chosen: Any,
) -> None:  # fmt: skip
    """Embed images or sentences: float32 rows of length 1, into a .npz file, or with --json onto standard output.

    The file has arrays embeddings, names, modality and space_id; the numbers of two bundles are comparable only if
    their space_id is the same.
    """
    say = Speaker(as_json)
    if bool(images) == bool(texts):
        raise UserError("embed: expected either images or --text")
    if out is None and not as_json:
        raise UserError("embed: nowhere to write to; give --out embeddings.npz, or --json")
    skipped: list[str] = []
    names = list(texts) or [str(path) for path in images]
    if texts:
        from edge_runtime.text import TextQueries

        bundle = find_bundle(bundle_path, key, say)
        queries = TextQueries.load(bundle, vectors, threads=chosen["threads"])
        rows, kind, space = queries.embed(texts), "text", bundle.space_id
    else:
        with load_embedder(bundle_path, say, key=key, **chosen) as embedder:
            asked = image_modality(modality, embedder.bundle.modalities)
            rows, problems = embedder.embed_readable(list(images), asked, strict=not skip_broken)
            kind, space = str(asked), embedder.space_id
        skipped = [problem.why for problem in problems]
        bad = {problem.row for problem in problems}
        names = [name for row, name in enumerate(names) if row not in bad]
        rows = rows[[row for row in range(len(rows)) if row not in bad]]
        for line in skipped:
            say.note(f"skipped: {line}")
    if out is not None:
        with replacing(out) as part, part.open("wb") as file:
            np.savez(
                file, embeddings=rows, names=np.array(names, np.str_), modality=np.array(kind), space_id=np.array(space)
            )
        say.line(f"wrote {out}: {len(rows)} embeddings of {rows.shape[1]} numbers")
    listed = None if out is not None else [[float(f"{value:.8g}") for value in row] for row in rows]
    say.document(
        {"space": space, "modality": kind, "names": names, "embeddings": listed, "skipped": skipped,
         "out": None if out is None else str(out)}
    )  # fmt: skip
