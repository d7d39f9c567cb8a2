"""Coordinates drawn at random for a few people whom nobody has photographed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from distill.evaluation.coordinates import Coordinates
from reid.matrix import matrix_protocols
from reid.modality import Modality
from reid.protocol import Drop, Protocol
from reid.sample import Split
from reid.table import SampleTable

RANK, DIM = 4, 7


def drawn(seed: int = 0, *, people: int = 5, sentences_on_edge: bool = True) -> Coordinates:
    """Each person in four modalities, images by two cameras, two sketches; the edge is a noisy cloud."""
    generator = np.random.default_rng(seed)
    rows: list[tuple[str, Modality, str | None]] = []
    for person in range(people):
        for modality in Modality:
            seen = modality in (Modality.RGB, Modality.IR)
            rows += [(f"p{person}", modality, f"c{camera}" if seen else None) for camera in range(2)]
    # In no order that a ranking could profit from.
    rows = [rows[place] for place in generator.permutation(len(rows))]
    table = SampleTable(
        [f"s{number}" for number in range(len(rows))],
        [person for person, _, _ in rows],
        [modality for _, modality, _ in rows],
        [Split.TEST] * len(rows),
        [camera for _, _, camera in rows],
        [None] * len(rows),
    )
    table, pairs = matrix_protocols(table, ())
    of_person = {f"p{person}": generator.normal(size=DIM) for person in range(people)}
    teacher = np.array([of_person[p] for p in table.person_id]) + generator.normal(size=(len(rows), DIM))
    cloud = teacher @ generator.normal(size=(DIM, RANK))
    edge = cloud + generator.normal(size=cloud.shape)
    answered = np.array([sentences_on_edge or m is not Modality.TEXT for m in table.modality])
    edge[~answered] = np.nan
    found = [array.astype(np.float32) for array in (edge, cloud, teacher)]
    return Coordinates(table, pairs, found[0], found[1], found[2], answered)


def by_loops(protocol: Protocol, table: SampleTable, asking: np.ndarray, asked: np.ndarray) -> tuple[float, ...]:
    """mAP, rank-1 and mINP of embeddings as queries and as gallery, as shares of 1, query by query."""
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (asking, asked)]
    precisions, firsts, penalties = [], [], []
    for query in table.rows(protocol.query).tolist():
        found = sorted(_counting(protocol, table, query), key=lambda row: -float(unit[0][query] @ unit[1][row]))
        places = [place for place, row in enumerate(found, 1) if table.person_id[row] == table.person_id[query]]
        if not places:
            continue
        precisions.append(sum(number / place for number, place in enumerate(places, 1)) / len(places))
        firsts.append(float(places[0] == 1))
        penalties.append(len(places) / places[-1])
    return tuple(float(np.mean(values)) for values in (precisions, firsts, penalties))


def _counting(protocol: Protocol, table: SampleTable, query: int) -> Iterator[int]:
    for row in table.rows(protocol.gallery).tolist():
        same = table.person_id[row] == table.person_id[query]
        if same and protocol.drop is Drop.SAME_CAMERA and table.camera_id[row] == table.camera_id[query]:
            continue
        if same and protocol.drop is Drop.SAME_SOURCE and table.source_id[row] == table.source_id[query]:
            continue
        yield row
