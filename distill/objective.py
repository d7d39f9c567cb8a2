"""Which losses there are, what each is given, and their weighted sum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from distill.losses.anchors import anchors
from distill.losses.batch_svd import batch_svd
from distill.losses.channel import channel
from distill.losses.cosine import cosine
from distill.losses.crd import crd
from distill.losses.mse import mse
from distill.losses.pcm import pcm
from distill.losses.relation import relation
from distill.losses.rkd import rkd
from distill.losses.sp import sp
from distill.losses.vkd import vkd
from distill.settings import Objective, Relation, Relational
from teacher.objective import Neck
from teacher.objective.identity import identity
from teacher.objective.objective import sum_terms
from teacher.objective.triplet import triplet


@dataclass(frozen=True)
class LossContext:
    """What a loss may look at: the whole batch, of all processes. Gradients flow to `student` and `features`.

    student: float32 [B, d] outputs y. target: float32 [B, d], the teacher's coordinates z of the same samples in the
    space of y. teacher: float32 [B, D] whole embeddings of length 1. people: int64 [B], from 0. modalities: int64 [B]
    codes. variances: float32 [d] of the targets over the training store. neck and features [B, d] after it: for terms
    that classify. anchors: float32 [A, d] coordinates of the teacher to be compared with; None: the batch's targets.
    learnt: bool [B], the samples that a student answered; for the others `student` repeats `target`, so that relations
    to them are learnt. None: all.
    """

    student: Tensor
    target: Tensor
    teacher: Tensor
    people: Tensor
    modalities: Tensor
    variances: Tensor
    neck: Neck | None = None
    features: Tensor | None = None
    anchors: Tensor | None = None
    learnt: Tensor | None = None

    def answered(self) -> tuple[Tensor, Tensor]:
        """`student` and `target` of the samples that a student answered: what each is compared with by itself."""
        return (
            (self.student, self.target)
            if self.learnt is None
            else (self.student[self.learnt], self.target[self.learnt])
        )


def _identity(context: LossContext, smoothing: float) -> Tensor:
    assert context.neck is not None, "objective.id needs the neck and the features after it"
    assert context.features is not None
    return identity(context.neck.logits(context.features), context.people, smoothing)


def _teacher(context: LossContext, settings: Relation | Relational) -> Tensor:
    """What relations are compared with, [B, width]."""
    if settings.against == "target":
        return context.target
    centred = isinstance(settings, Relation) and settings.centred
    return context.teacher - context.teacher.mean(dim=0) if centred else context.teacher


def _anchors(context: LossContext) -> Tensor:
    return context.target if context.anchors is None else context.anchors


TERMS: dict[str, Callable[[LossContext, Any], Tensor]] = {
    "pcm": lambda c, s: pcm(*c.answered(), c.variances, s.gamma),
    "relation": lambda c, s: relation(c.student, _teacher(c, s), c.modalities, s.cross),
    "id": lambda c, s: _identity(c, s.smoothing),
    "triplet": lambda c, s: triplet(c.student, c.people, s.margin),
    "mse": lambda c, s: mse(*c.answered()),
    "cosine": lambda c, s: cosine(*c.answered()),
    "rkd": lambda c, s: rkd(c.student, _teacher(c, s), s.distance, s.angle),
    "sp": lambda c, s: sp(c.student, _teacher(c, s)),
    "vkd": lambda c, s: vkd(*c.answered()),
    "crd": lambda c, s: crd(c.student, c.target, c.people, s.temperature),
    "channel": lambda c, s: channel(*c.answered(), s.form),
    "batch_svd": lambda c, s: batch_svd(*c.answered(), s.rank, s.form),
    "anchors": lambda c, s: anchors(*c.answered(), _anchors(c), s.temperature),
}
"""Name in the recipe's `objective` -> the loss, given the batch and its settings."""


def evaluate_terms(settings: Objective, context: LossContext, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
    """The objective and its terms, as `teacher.objective.objective.sum_terms` gives them.

    Args:
        settings: the recipe's section. context: the batch. progress: share of the training that is done.

    Returns:
        The weighted sum, a scalar, and each term's own value, unweighted and detached, by name.
    """
    return sum_terms(TERMS, settings, context, context.student, progress)
