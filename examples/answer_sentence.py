"""Answer a sentence: who in the gallery looks like this?

    python examples/answer_sentence.py --bundle BUNDLE --gallery people.db "a man in a red coat" --show answer.png

With a text student in the bundle the device answers alone. Without one, the cloud embeds the sentence first:

    teacher embed-text "a man in a red coat" --teacher runs/teacher/mllmembed --out q.npz
    python examples/answer_sentence.py ... --vectors q.npz "a man in a red coat"
"""

from __future__ import annotations

from pathlib import Path

import click

from edge_runtime.bundle import open_bundle
from edge_runtime.gallery import UNKNOWN, Filter, Gallery
from edge_runtime.search import Rules, identify
from edge_runtime.show import draw_answers
from edge_runtime.text import TextQueries
from reid.cli.options import OutputFile, save_picture
from reid.cli.shell import run


@click.command()
@click.argument("sentence")
@click.option("--bundle", type=click.Path(path_type=Path), required=True)
@click.option("--gallery", "place", type=click.Path(path_type=Path), required=True)
@click.option("--vectors", type=click.Path(path_type=Path), help="What the cloud made of the sentence.")
@click.option("--since", type=float, help="Seen at or after, seconds since 1970.")
@click.option("--show", type=OutputFile(".png"))
def answer_sentence(
    sentence: str, bundle: Path, place: Path, vectors: Path | None, since: float | None, show: Path | None
) -> None:
    """Print the people who look most like SENTENCE."""
    opened = open_bundle(bundle)
    queries = TextQueries.load(opened, vectors)
    click.echo(f"answered by {queries.source}", err=True)
    with Gallery.open(place, space_id=opened.space_id, dim=opened.dim, create=False, read_only=True) as gallery:
        answers = identify(gallery, queries.embed([sentence]), Filter(since=since), Rules(top=5))
        for rank, candidate in enumerate(answers[0].candidates, 1):
            hit = candidate.hits[0]
            click.echo(
                f"{rank}  {candidate.person_id or UNKNOWN:<12} {candidate.score:.3f}  camera {hit.camera_id or '-'}"
            )
        if show is not None:
            save_picture(draw_answers(gallery, [sentence], [sentence], answers, None, top=5, title=str(place)), show)


if __name__ == "__main__":
    run(answer_sentence, "answer_sentence.py")
