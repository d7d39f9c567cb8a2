"""From rows to people: what each person's rows say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge_runtime.gallery import Filter, Hit
from edge_runtime.search.rules import Rules, Searchable
from reid.rerank import ReRanked
from reid.similarity import Floats

_FIRST = 4
"""Rows that are fetched for each person that is asked for, at first."""
_UNBOUNDED = 2**31 - 1


@dataclass(frozen=True)
class Candidate:
    """Someone who may be who was asked for: a person, or one row that nobody has named.

    Attributes:
        person_id: who; None for an unknown row, which stands for itself.
        score: cosine to the query, over the person's rows as the rules say. The decision is made on it.
        hits: the rows that it rests on, best first.
        rank_score: what candidates are ordered by: the score, or that of re-ranking.
    """

    person_id: str | None
    score: float
    hits: tuple[Hit, ...]
    rank_score: float

    @property
    def row_id(self) -> int:
        """The best row."""
        return self.hits[0].row_id


def candidates(gallery: Searchable, query: Floats, where: Filter, rules: Rules) -> list[Candidate]:
    """The best `rules.top` candidates for a query [k], best first; exact, but re-ranking sees the top rows only."""
    if rules.rerank is not None:
        return _re_ranked(gallery, query, where, rules)
    rows = _FIRST * rules.top * (rules.rows_of_person if rules.aggregate == "mean" else 1)
    while True:
        hits = gallery.search(query[None], rows, where, centre=rules.centre)[0]
        found = _people(hits, rules)
        complete = len(hits) < rows
        if rules.aggregate == "mean":
            found = _with_all_rows(gallery, query, where, rules, found, complete)
        # A person none of whose rows is among the hits cannot score above the last of them.
        if complete or (len(found) >= rules.top and found[rules.top - 1].score >= hits[-1].score):
            return found[: rules.top]
        rows *= 4


def _people(hits: Sequence[Hit], rules: Rules) -> list[Candidate]:
    """The people that the hits belong to, best first."""
    theirs: dict[object, list[Hit]] = {}
    for hit in hits:
        theirs.setdefault(hit.row_id if hit.person_id is None else hit.person_id, []).append(hit)
    found = []
    for rows in theirs.values():
        used = rows[: rules.rows_of_person if rules.aggregate == "mean" else 1]
        score = float(np.mean([hit.score for hit in used]))
        found.append(Candidate(rows[0].person_id, score, tuple(used), score))
    return sorted(found, key=lambda c: (-c.score, c.row_id))


def _with_all_rows(
    gallery: Searchable, query: Floats, where: Filter, rules: Rules, found: list[Candidate], complete: bool
) -> list[Candidate]:
    """The same people with the rows that the hits did not reach."""
    short = tuple(c.person_id for c in found if c.person_id is not None and len(c.hits) < rules.rows_of_person)
    if complete or not short:
        return found
    theirs = gallery.search(query[None], _UNBOUNDED, replace(where, persons=short), centre=rules.centre)[0]
    settled = [c for c in found if c.person_id not in short]
    return sorted([*settled, *_people(theirs, rules)], key=lambda c: (-c.score, c.row_id))


def _re_ranked(gallery: Searchable, query: Floats, where: Filter, rules: Rules) -> list[Candidate]:
    """People in the order that k-reciprocal re-ranking of the top rows gives, by their best re-ranked row."""
    how = rules.rerank
    assert how is not None
    found, vectors = gallery.search_with_vectors(query[None], how.rows, where, centre=rules.centre)
    hits, theirs = found[0], vectors[0]
    if len(hits) < 2:
        return _people(hits, rules)[: rules.top]
    asked = query[None]
    if rules.centre is not None:
        modality, means = rules.centre
        asked = asked - means[modality]
        theirs = theirs - np.stack([means[hit.modality] for hit in hits])
    unit = [part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-12) for part in (asked, theirs)]
    keep = np.linalg.norm(unit[1], axis=1) > 0.5  # a row that equals its mean has no direction
    kept = [hit for hit, kept in zip(hits, keep, strict=True) if kept]
    ranked = ReRanked(
        np.ascontiguousarray(unit[0], np.float32),
        np.ascontiguousarray(unit[1][keep], np.float32),
        k1=how.k1,
        k2=how.k2,
        lambda_=how.weight,
    )
    scores = {hit.row_id: float(s) for hit, s in zip(kept, next(ranked.blocks())[1][0], strict=True)}
    people = [
        replace(person, rank_score=max(scores.get(hit.row_id, -np.inf) for hit in hits if _is(hit, person)))
        for person in _people(hits, rules)
    ]
    return sorted(people, key=lambda c: (-c.rank_score, -c.score, c.row_id))[: rules.top]


def _is(hit: Hit, candidate: Candidate) -> bool:
    if candidate.person_id is None:
        return hit.row_id == candidate.row_id
    return hit.person_id == candidate.person_id
