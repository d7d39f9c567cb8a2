"""`teacher embed-text`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from reid.cli.options import OutputFile
from reid.errors import UserError
from teacher.cli.options import batch_option, note, open_teacher, teacher_options


@click.command("embed-text")
@click.argument("texts", nargs=-1)
@click.option("--file", "source", type=click.Path(path_type=Path, allow_dash=True), help="Sentences, one a line.")
@click.option("--teacher", "checkpoint", type=click.Path(path_type=Path), help="A checkpoint. Default: the newest.")
@teacher_options
@click.option("--out", type=OutputFile(".npz"), required=True, help="The file of vectors to write.")
@batch_option
def embed_text(
    texts: tuple[str, ...],
    source: Path | None,
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
) -> None:
    """Embed sentences for a device whose bundle has no text student: `edge search --vectors`.

    The device projects them by its bundle's subspace, so the teacher must be the one that the student was distilled
    from. One file serves every student of it.

    \b
    teacher embed-text "a man in a red coat" "a woman with a blue bag" --out q.npz
    """
    from edge_runtime.text import write_vectors
    from reid.modality import Modality
    from reid.sample import Sample, Split
    from teacher.embedder import Embedder

    sentences = _sentences(texts, source)
    samples = [Sample(f"#{number}", "", Modality.TEXT, Split.QUERY, text=text) for number, text in enumerate(sentences)]
    teacher = open_teacher(
        checkpoint, base=base, revision=revision, recipe_name=recipe_name, changes=changes, device=device, dtype=dtype,
        merge=merge,
    )  # fmt: skip
    book = teacher.encoder.book
    cut = book.captions(sentences)[1]
    if cut:
        note(f"note: {cut} sentences are cut to {book.caption_tokens} tokens")
    embeddings = Embedder(teacher.encoder, teacher.readout_neck, batch).embed(samples)
    write_vectors(out, embeddings, sentences, teacher=teacher.identity)
    click.echo(f"wrote {out}: {len(sentences)} sentences, {embeddings.shape[1]} dimensions")


def _sentences(texts: tuple[str, ...], source: Path | None) -> list[str]:
    """Those of the command line and of the file, each once, in their order.

    Raises:
        UserError: there is none, one is empty, or the file cannot be read.
    """
    found = list(texts)
    if source is not None:
        try:
            lines = sys.stdin if str(source) == "-" else source.read_text(encoding="utf-8").splitlines()
            found += [line.strip() for line in lines if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            words = getattr(error, "strerror", None) or "not text in UTF-8"
            raise UserError(f"{source}: cannot be read ({words}); expected sentences, one a line") from error
    if not found:
        raise UserError("embed-text: there is no sentence; give some, or a file of them with --file")
    for text in found:
        if not text.strip():
            raise UserError("embed-text: a sentence is empty; describe a person")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UserError(f"embed-text: {text!r} is no text in UTF-8; type it again") from None
    return list(dict.fromkeys(found))
