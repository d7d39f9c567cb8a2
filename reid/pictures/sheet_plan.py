"""What goes on a contact sheet: which people, which columns, which of a person's images and sentences."""

from __future__ import annotations

import difflib
import random
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reid.errors import UserError
from reid.modality import Modality
from reid.pictures.text import bare
from reid.sample import Sample

_FUNCTION_WORDS = (
    "a an and are as at below by for from has have he her him his in is it its nothing of on one or over she that the "
    "their them there they this to under up wearing wears while with"
)
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
"""Words that tell nobody from anybody."""
LEAST_COLUMNS = 6
"""With fewer kinds of observation than this, several images of each are shown."""


@dataclass(frozen=True)
class Column:
    """What one column shows: the `shot`-th image of a person by this camera in this modality."""

    modality: Modality
    camera_id: str | None
    shot: int = 0


@dataclass(frozen=True)
class Row:
    """One person: the image of each column, and what is said of him or her."""

    person_id: str
    images: tuple[Sample | None, ...]
    captions: tuple[str, ...]
    attributes: str


def choose_people(samples: Sequence[Sample], people: int | Sequence[str], rng: random.Random) -> list[str]:
    """So many people at random among those who were observed in the most modalities, by id; or those named, as named.

    Raises:
        UserError: no samples, a named person is not there, or fewer than one is asked for.
    """
    modalities: dict[str, set[Modality]] = defaultdict(set)
    for s in samples:
        modalities[s.person_id].add(s.modality)
    if not modalities:
        raise UserError("no samples; a contact sheet needs some")
    if not isinstance(people, int):
        for person in people:
            if person not in modalities:
                near = difflib.get_close_matches(person, modalities, n=3)
                hint = (
                    f"did you mean {' or '.join(near)}?" if near else f"ids look like '{min(modalities, default='')}'"
                )
                raise UserError(f"no person '{person}' among {len(modalities):,}; {hint}")
        return list(dict.fromkeys(people))
    if people < 1:
        raise UserError(f"{people} people asked for; a contact sheet shows at least one")
    ranked = sorted(modalities)
    rng.shuffle(ranked)
    # The sort is stable: random among those who were observed in equally many ways.
    ranked.sort(key=lambda person: -len(modalities[person]))
    return sorted(ranked[:people], key=natural)


def natural(text: str) -> tuple[tuple[int, int | str], ...]:
    """Key that sorts `cam2` before `cam10`."""
    return tuple((0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", text) if part)


def plan_columns(shown: Sequence[Sample], most: int) -> list[Column]:
    """The columns in print order: modality, then camera, then shot."""
    seen: dict[Modality, dict[str | None, set[str]]] = defaultdict(lambda: defaultdict(set))
    shots: dict[tuple[Modality, str | None, str], int] = defaultdict(int)
    for s in shown:
        seen[s.modality][s.camera_id].add(s.person_id)
        shots[s.modality, s.camera_id, s.person_id] += 1
    order = [m for m in Modality if m in seen]
    # Per modality the cameras that saw most of the people, the first of each modality before the second of any.
    by_cover = {m: sorted(seen[m], key=lambda camera: (-len(seen[m][camera]), natural(camera or ""))) for m in order}
    turns = sorted((turn, order.index(m), camera) for m in order for turn, camera in enumerate(by_cover[m]))
    kept = {(order[at], camera) for _, at, camera in turns[: max(most, len(order))]}
    repeats = max(1, min(most, LEAST_COLUMNS) // len(kept))
    return [
        Column(m, camera, shot)
        for m in order
        for camera in sorted((c for kept_m, c in kept if kept_m is m), key=lambda c: natural(c or ""))
        for shot in range(min(repeats, max(shots[m, camera, person] for person in seen[m][camera])))
    ]


def choose_observations(
    person: str,
    own: Sequence[Sample],
    plan: Sequence[Column],
    captions: int,
    attributes: Mapping[str, str],
    rng: random.Random,
) -> Row:
    """An image for every column and the captions, of the samples that are a person's `own`.

    What was made from a photograph in the row goes before other images, captions of such photographs likewise.
    """
    pools: dict[tuple[Modality, str | None], list[Sample]] = defaultdict(list)
    for s in own:
        pools[s.modality, s.camera_id].append(s)
    for pool in pools.values():
        rng.shuffle(pool)
    sources: set[str] = set()
    images: list[Sample | None] = []
    for column in plan:
        pool = pools[column.modality, column.camera_id]
        if column.modality is not Modality.RGB and column.shot == 0:
            pool.sort(key=lambda s: s.source_id not in sources)
        sample = pool[column.shot] if column.shot < len(pool) else None
        images.append(sample)
        if sample is not None:
            sources |= {sample.sample_id, *([sample.source_id] if sample.source_id else [])}
    sentences = [s for s in own if s.modality is Modality.TEXT]
    sentences.sort(key=lambda s: s.source_id is not None and s.source_id not in sources)
    texts = list(dict.fromkeys(s.text for s in sentences if s.text))[:captions]
    described = "; ".join(f"{name}: {value}" for name, value in attributes.items())
    return Row(person, tuple(images), tuple(texts), described)


def differences(rows: Sequence[Row]) -> dict[str, set[str]]:
    """Person -> the words (see `reid.pictures.text.bare`) said of this person and of no other one on the sheet."""
    words = {
        row.person_id: {bare(word) for text in (*row.captions, row.attributes) for word in text.split()} for row in rows
    }
    return {
        person: own.difference(FUNCTION_WORDS, *(other for name, other in words.items() if name != person))
        for person, own in words.items()
    }
