"""From a protocol and a table of samples to the trials that are scored."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reid.errors import UserError
from reid.protocol import Drop, Fuse, Protocol, Sampling
from reid.ragged import starting
from reid.table import SampleTable, encode

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Trial:
    """Who is asked and who can be found, in row numbers of the table.

    Attributes:
        query_members: [m] rows of the queries' members, all members of a query next to each other.
        query_offsets: [Q + 1] where each query's members start; one member each unless samples are fused.
        gallery: [G] rows of the gallery.
        query_person, gallery_person: [Q], [G] identity codes.
        query_drop, gallery_drop: [Q], [G]: a gallery entry does not count for a query if both have the same code >= 0.
    """

    query_members: Ints
    query_offsets: Ints
    gallery: Ints
    query_person: Ints
    gallery_person: Ints
    query_drop: Ints
    gallery_drop: Ints

    @property
    def query(self) -> Ints:
        """[Q] the first member of each query."""
        return self.query_members[self.query_offsets[:-1]]


def resolve(protocol: Protocol, table: SampleTable) -> Iterator[Trial]:
    """The protocol's trials on the samples of `table`, one after the other.

    Raises:
        UserError: no query or no gallery in the table, or samples that the protocol names are not there.
    """
    groups = _query_groups(protocol, table)
    selected = table.rows(protocol.gallery) if protocol.galleries is None else np.empty(0, dtype=np.int64)
    person = encode(table.person_id)
    drop = _drop_codes(protocol, table)
    for number in range(protocol.trials):
        gallery, queries = selected, groups
        if protocol.galleries is not None:
            gallery = _rows_of(protocol.galleries[number], table, protocol)
        elif protocol.sampling is not None and protocol.sampling.side == "gallery":
            gallery = draw(protocol.sampling, table, selected, number)
        elif protocol.sampling is not None:
            drawn = draw(protocol.sampling, table, np.array([group[0] for group in groups], dtype=np.int64), number)
            queries = [(int(row),) for row in drawn]
        if not queries:
            raise _nothing("query", str(protocol.query), protocol, table)
        if gallery.size == 0:
            raise _nothing("gallery", str(protocol.gallery), protocol, table)
        first = np.array([group[0] for group in queries], dtype=np.int64)
        yield Trial(
            query_members=np.array([row for group in queries for row in group], dtype=np.int64),
            query_offsets=starting(np.array([len(group) for group in queries], dtype=np.int64)),
            gallery=gallery,
            query_person=person[first],
            gallery_person=person[gallery],
            query_drop=np.array([_group_drop(drop, group) for group in queries], dtype=np.int64),
            gallery_drop=drop[gallery],
        )


def applies(protocol: Protocol, table: SampleTable) -> bool:
    """Whether the samples of `table` give the protocol a query with a positive that counts."""
    try:
        trial = next(resolve(protocol, table))
    except UserError:
        return False
    codes: dict[int, set[int]] = defaultdict(set)
    for person, code in zip(trial.gallery_person.tolist(), trial.gallery_drop.tolist(), strict=True):
        codes[person].add(code)
    asked = zip(trial.query_person.tolist(), trial.query_drop.tolist(), strict=True)
    return any(codes.get(person, set()) - ({code} if code >= 0 else set()) for person, code in asked)


def draw(sampling: Sampling, table: SampleTable, rows: Ints, seed: int) -> Ints:
    """Rows of a random subset, `sampling.per_camera` of each (person, camera), in the order they are drawn.

    Follows `process_gallery_sysu` of AGW: `random.seed(seed)`, people and files in ascending order, cameras in the
    order given, `random.choice` per folder. With per_camera > 1, `random.sample` of at most that many.
    """
    folders: dict[tuple[str, str | None], list[int]] = defaultdict(list)
    for row in rows.tolist():
        folders[table.person_id[row], table.camera_id[row]].append(row)
    generator = random.Random(seed)
    drawn: list[int] = []
    for person in sorted({person for person, _ in folders}):
        for camera in sampling.cameras:
            files = sorted(folders.get((person, camera), ()), key=lambda row: table.sample_id[row])
            if not files:
                continue
            if sampling.per_camera == 1:
                drawn.append(generator.choice(files))
            else:
                drawn.extend(generator.sample(files, min(sampling.per_camera, len(files))))
    return np.array(drawn, dtype=np.int64)


def _query_groups(protocol: Protocol, table: SampleTable) -> list[tuple[int, ...]]:
    if protocol.query_groups is not None:
        return [tuple(_rows_of(group, table, protocol).tolist()) for group in protocol.query_groups]
    rows = table.rows(protocol.query).tolist()
    if protocol.fuse is Fuse.PERSON:
        people: dict[str, list[int]] = {}
        for row in rows:
            people.setdefault(table.person_id[row], []).append(row)
        return [tuple(members) for members in people.values()]
    if protocol.fuse is Fuse.SOURCE:
        return _fuse_by_source(protocol, table, rows)
    return [(row,) for row in rows]


def _fuse_by_source(protocol: Protocol, table: SampleTable, rows: Sequence[int]) -> list[tuple[int, ...]]:
    """Each sample of the first modality with those of the others made from the same photograph; lone ones are left out.

    A query that lacks a part would be scored by what it lacks, so it is no query of this protocol.
    """
    first, *others = protocol.query.modalities
    partners: dict[tuple[str | None, object], int] = {}
    for row in rows:
        partners.setdefault((table.source_id[row], table.modality[row]), row)
    groups = []
    for row in rows:
        if table.modality[row] is first and table.source_id[row] is not None:
            members = [partners.get((table.source_id[row], other)) for other in others]
            if None not in members:
                groups.append((row, *(m for m in members if m is not None)))
    return groups


def _drop_codes(protocol: Protocol, table: SampleTable) -> Ints:
    if protocol.drop is Drop.SAME_CAMERA:
        pairs = zip(table.person_id, table.camera_id, strict=True)
        return encode(None if camera is None else (person, camera) for person, camera in pairs)
    if protocol.drop is Drop.SAME_LOCATION:
        locations = dict(protocol.locations)
        return encode(None if camera is None else locations.get(camera) for camera in table.camera_id)
    if protocol.drop is Drop.SAME_SOURCE:
        pairs = zip(table.person_id, table.source_id, strict=True)
        return encode(None if source is None else (person, source) for person, source in pairs)
    return np.full(len(table), -1, dtype=np.int64)


def _group_drop(drop: Ints, group: tuple[int, ...]) -> int:
    """The drop code of a query: that of its first member which has one."""
    return next((int(drop[row]) for row in group if drop[row] >= 0), -1)


def _rows_of(sample_ids: Sequence[str], table: SampleTable, protocol: Protocol) -> Ints:
    index = _index(table)
    try:
        return np.array([index[sample_id] for sample_id in sample_ids], dtype=np.int64)
    except KeyError as missing:
        raise UserError(
            f"protocol '{protocol.name}' names sample {missing}, which these embeddings do not hold; "
            "embed the whole data set first"
        ) from None


def _index(table: SampleTable) -> dict[str, int]:
    return {sample_id: row for row, sample_id in enumerate(table.sample_id)}


def _nothing(side: str, wanted: str, protocol: Protocol, table: SampleTable) -> UserError:
    return UserError(f"protocol '{protocol.name}' has an empty {side} set: it wants {wanted}; found {table.describe()}")
