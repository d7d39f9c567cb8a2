"""`reid data boxes`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from reid.artifact import write_text
from reid.cli.options import OutputFile, data_argument, loader_options, read_data
from reid.errors import UserError
from reid.modality import Modality
from reid.sample import Split


@click.command("boxes")
@data_argument
@loader_options
@click.option("--out", type=OutputFile(".jsonl"), required=True, help="The file of lines.")
@click.option("--split", "splits", multiple=True, help="train, val, test, query, gallery; repeatable. Default: all.")
@click.option("--modality", default="rgb", show_default=True, help="rgb, ir or sketch.")
@click.option("--camera", "cameras", multiple=True, help="Only what this camera saw; repeatable.")
def boxes(
    data: tuple[str, ...],
    settings: tuple[str, ...],
    out: Path,
    splits: tuple[str, ...],
    modality: str,
    cameras: tuple[str, ...],
) -> None:
    """Write a data set's images as the lines that `edge enroll --boxes` reads: who, where, in which file.

    reid data boxes people --split test --out test.jsonl && edge enroll people.db --boxes test.jsonl
    """
    dataset = read_data(data, settings)
    asked = Modality.parse(modality, "--modality")
    chosen = dataset.select(*(Split.parse(split, "--split") for split in splits or Split), modalities=(asked,))
    chosen = tuple(sample for sample in chosen if not cameras or sample.camera_id in cameras)
    lines = [
        {
            "image": os.path.relpath(sample.image, out.absolute().parent), "modality": str(asked),
            "camera": sample.camera_id, "boxes": [{"person": sample.person_id}],
        }
        for sample in chosen
        if sample.image is not None
    ]  # fmt: skip
    if not lines:
        raise UserError(f"{dataset.root}: has no such {asked} images; leave out --split or --camera")
    write_text(out, "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines))
    click.echo(f"wrote {out}, {len(lines)} images of {len({s.person_id for s in chosen})} people")
