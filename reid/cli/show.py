"""`reid data show`."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import click

from reid.cli.options import OutputFile, data_argument, loader_options, read_data, save_picture, skip_broken_option
from reid.dataset import Dataset
from reid.errors import UserError


@click.command()
@data_argument
@loader_options
@click.option("--out", type=OutputFile(".png"), required=True, help="The PNG to write.")
@click.option(
    "--people", type=click.IntRange(1), default=6, show_default=True, help="How many people, chosen by --seed."
)
@click.option("--person", "named", multiple=True, help="This person instead; repeatable.")
@click.option("--alike", is_flag=True, help="The most alike people of each family of look-alikes (synthetic people).")
@click.option("--attributes", is_flag=True, help="Show what people.json says of each person (synthetic people).")
@click.option("--compare", is_flag=True, help="Underline the words that tell the people shown from each other.")
@click.option("--seed", default=0, show_default=True, help="Which people and which of their images.")
@click.option(
    "--height", type=click.IntRange(16, 1024), default=160, show_default=True, help="Height of an image in pixels."
)
@click.option(
    "--columns", type=click.IntRange(1), default=12, show_default=True, help="At most so many columns of images."
)
@skip_broken_option
def show(
    data: tuple[str, ...],
    settings: tuple[str, ...],
    out: Path,
    people: int,
    named: tuple[str, ...],
    alike: bool,
    attributes: bool,
    compare: bool,
    seed: int,
    height: int,
    columns: int,
    skip_broken: bool,
) -> None:
    """Draw a contact sheet: rows people, columns modalities and cameras, captions beside."""
    from reid.pictures import contact_sheet

    dataset = read_data(data, settings)
    told = _told(dataset, required=alike or attributes)
    if alike:
        named = _lookalikes(told, people)
    picture = contact_sheet(
        dataset.samples,
        people=named or people,
        seed=seed,
        height=height,
        columns=columns,
        attributes=_seen(told) if attributes else None,
        title=f"{dataset.kind}: {dataset.root.name}",
        mark_differences=compare or alike,
        skip_broken=skip_broken,
    )
    save_picture(picture, out)


_NOT_SEEN = ("family", "split", "sketched by")
"""Entries of people.json that are not attributes of a person."""


def _told(dataset: Dataset, *, required: bool) -> dict[str, dict[str, str]]:
    """What `people.json` beside the images says of each person; synthetic data sets have one."""
    path = dataset.root / "people.json"
    if path.is_file():
        told: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
        return told
    if required:
        raise UserError(f"{path}: no such file; only data sets of `reid data synth` say what their people wear")
    return {}


def _seen(told: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """person -> attribute -> words, without what is not to be seen."""
    return {person: {k: v for k, v in about.items() if k not in _NOT_SEEN} for person, about in told.items()}


def _lookalikes(told: dict[str, dict[str, str]], people: int) -> tuple[str, ...]:
    """Up to `people` ids: of each family its two most alike members, the most alike pairs first."""
    families: dict[str, list[str]] = defaultdict(list)
    for person, attributes in told.items():
        families[attributes["family"]].append(person)
    pairs = []
    for members in families.values():
        if len(members) > 1:
            pairs.append(min((_difference(told[a], told[b]), a, b) for a, b in combinations(members, 2)))
    if not pairs:
        raise UserError("--alike: there are no look-alikes among these people; make more people or raise --lookalikes")
    return tuple(person for _, *pair in sorted(pairs)[: max(1, people // 2)] for person in pair)


def _difference(one: dict[str, str], other: dict[str, str]) -> int:
    return sum(one.get(key) != other.get(key) for key in {*one, *other} - set(_NOT_SEEN))
