"""Enrol a folder of people through the library: one sub-folder for each person, all their pictures one tracklet.

    python examples/enrol_folder.py --bundle bundle.tar.zst --gallery people.db staff/

`edge enroll people.db staff/ --tracklets` does the same; this shows the calls.
"""

from __future__ import annotations

import time
from pathlib import Path

import click

from edge_runtime.embedder import Embedder
from edge_runtime.enrol import Enroller, Observation
from edge_runtime.gallery import Gallery
from reid.cli.shell import run

ENDINGS = {".jpg", ".jpeg", ".png"}


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--bundle", type=click.Path(path_type=Path), required=True)
@click.option("--gallery", "place", type=click.Path(path_type=Path), required=True)
@click.option("--camera", default="photo", show_default=True)
def enrol_folder(folder: Path, bundle: Path, place: Path, camera: str) -> None:
    """Enrol FOLDER/PERSON/*.jpg."""
    with (
        Embedder.load(bundle, say=lambda line: click.echo(line, err=True)) as embedder,
        Gallery.open(place, space_id=embedder.space_id, dim=embedder.dim) as gallery,
    ):
        enroller = Enroller(embedder, gallery, skip_broken=True)
        for person in sorted(path for path in folder.iterdir() if path.is_dir()):
            pictures = sorted(path for path in person.iterdir() if path.suffix.lower() in ENDINGS)
            seen = [
                Observation(path, path.name, person.name, camera, time=time.time(), track=person.name)
                for path in pictures
            ]
            # One person is one commit: when `add` returns, it survives a power cut.
            done = enroller.add(seen)
            click.echo(f"{person.name}: {done.crops} pictures in {len(done.ids)} row, {len(done.skipped)} skipped")
        click.echo(f"{place}: {gallery.count} rows of {len(gallery.people())} people")


if __name__ == "__main__":
    run(enrol_folder, "enrol_folder.py")
