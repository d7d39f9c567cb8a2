"""Who is this? People of the gallery, or nobody that it knows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_runtime.gallery import Filter
from edge_runtime.search.people import Candidate, candidates
from edge_runtime.search.rules import Rules, Searchable
from reid.errors import UserError
from reid.similarity import Floats, normalise


@dataclass(frozen=True)
class Answer:
    """Who a query is.

    Attributes:
        person_id: the person, or None: nobody that the gallery knows by name ("unknown").
        matched: whether the best candidate reaches the threshold. True with no `person_id` means that the query was
            seen before, in the row `candidates[0].row_id`, which nobody has named.
        score: cosine of the best candidate; None where no row meets the conditions.
        candidates: best first; empty where no row meets the conditions.
    """

    person_id: str | None
    matched: bool
    score: float | None
    candidates: tuple[Candidate, ...]


def identify(
    gallery: Searchable, queries: Floats, where: Filter | None = None, rules: Rules | None = None
) -> list[Answer]:
    """Answer for each query who it is.

    Args:
        gallery: where to look.
        queries: [q, k] float embeddings, of any length.
        where: conditions on the rows that count.
        rules: how rows become people and people an answer.

    Returns:
        [q] answers. With centring "cosine" means the centred one.

    Raises:
        UserError: a query is NaN, infinite or zero (it is named) or has another width, or a rule makes no sense.
    """
    rules, where = rules or Rules(), where or Filter()
    asked = np.asarray(queries)
    if asked.ndim != 2 or asked.shape[1] != gallery.dim:
        raise UserError(f"search: queries have shape {asked.shape}; expected [queries, {gallery.dim}]")
    unit = normalise(asked, [f"query {i}" for i in range(len(asked))])
    return [_answer(candidates(gallery, query, where, rules), rules.threshold) for query in unit]


def _answer(found: list[Candidate], threshold: float | None) -> Answer:
    if not found:
        return Answer(None, False, None, ())
    best = found[0]
    matched = threshold is None or best.score >= threshold
    return Answer(best.person_id if matched else None, matched, best.score, tuple(found))
