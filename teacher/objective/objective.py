"""Which terms there are, what each is given, and their weighted sum."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from teacher.objective.centres import centres
from teacher.objective.continuation import continuation
from teacher.objective.identity import identity
from teacher.objective.infonce import infonce
from teacher.objective.neck import Neck
from teacher.objective.sdm import sdm
from teacher.objective.triplet import triplet
from teacher.settings import Objective, Section

Context = TypeVar("Context")
_ROUNDED = 1e-9


@dataclass(frozen=True)
class Telling:
    """What is to be said, as `teacher.objective.continuation` takes it.

    states: [n, D]. tokens: int64 [n]. head: the lm_head. count: tokens of a process, the mean over all processes.
    """

    states: Tensor
    tokens: Tensor
    head: Callable[[Tensor], Tensor]
    count: float


@dataclass(frozen=True)
class TermContext:
    """What a term may look at: the whole batch, of all processes.

    embeddings: float32 [N, D], what the teacher gives: before or after the neck, as the readout says. people: int64
    [N], from 0. modalities: int64 [N] codes. features: [N, D] after the neck. neck: for terms that classify. telling:
    what this process is to say, if anything.
    """

    embeddings: Tensor
    people: Tensor
    modalities: Tensor
    features: Tensor
    neck: Neck
    telling: Telling | None = None


TERMS: dict[str, Callable[[TermContext, Any], Tensor]] = {
    "id": lambda c, s: identity(c.neck.logits(c.features), c.people, s.smoothing),
    "triplet": lambda c, s: triplet(c.embeddings, c.people, s.margin),
    "sdm": lambda c, s: sdm(c.embeddings, c.people, c.modalities, s.temperature, within=s.within),
    "infonce": lambda c, s: infonce(c.embeddings, c.people, c.modalities, s.temperature, within=s.within),
    "centres": lambda c, s: centres(c.embeddings, c.people, c.modalities),
    "continuation": lambda c, s: _told(c),
}
"""Name in the recipe's `objective` -> the term, given the batch and its settings."""


def _told(context: TermContext) -> Tensor:
    telling = context.telling
    if telling is None:
        return context.embeddings.sum() * 0
    return continuation(telling.states, telling.tokens, telling.head, telling.count)


def evaluate_terms(
    settings: Objective, context: TermContext, progress: float, begins: Sequence[float] = (0.0,)
) -> tuple[Tensor, dict[str, Tensor]]:
    """The objective and its terms, as `sum_terms` gives them.

    Args:
        settings: the recipe's section. context: the batch. progress: share of the training that is done.
        begins: shares of the training with which its stages begin.
    """
    factors = {
        name: settings.share(name) * (progress >= begins[term.stage] - _ROUNDED)
        for name, term in settings.terms().items()
    }
    return sum_terms(TERMS, settings, context, context.embeddings, progress, factors)


def sum_terms(
    terms: Mapping[str, Callable[[Context, Any], Tensor]],
    settings: Section,
    context: Context,
    embeddings: Tensor,
    progress: float,
    factors: Mapping[str, float] | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """A weighted sum of terms, in float32 whatever the model computes in.

    Args:
        terms: name -> the term, given the batch and its settings. settings: has a `Term` of each name.
        context: the batch. embeddings: float32, of the batch: the sum is made where they are.
        progress: share of the training that is done. factors: of the weights of some terms, by name.

    Returns:
        The weighted sum, a scalar, and each term's own value, unweighted and detached. A term whose weight in the
        recipe is 0 is not computed.
    """
    total = embeddings.new_zeros(())
    values: dict[str, Tensor] = {}
    with torch.autocast(embeddings.device.type, enabled=False):
        for name, term in terms.items():
            term_settings = getattr(settings, name)
            if term_settings.weight > 0:
                value = term(context, term_settings)
                values[name] = value.detach()
                total = total + term_settings.at(progress) * (factors or {}).get(name, 1.0) * value
    return total, values
