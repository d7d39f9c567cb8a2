"""Relational knowledge distillation: distances between pairs and angles between triples."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_POINT = 1e-12
"""Squared distance below which two samples are one point: it has no direction, and its distance no gradient."""


def rkd(student: Tensor, teacher: Tensor, distance: float = 1.0, angle: float = 2.0) -> Tensor:
    """Huber loss between the two sides' distances, relative to their mean, and between their angles.

    L = distance * mean_{i != j} H(|y_i - y_j| / mean |y - y'|, |t_i - t_j| / mean |t - t'|)
      + angle * mean_{i, j, k distinct} H(cos at y_j of y_i and y_k, cos at t_j of t_i and t_k)

    Args:
        student: [B, d] outputs. teacher: [B, any width] of the same samples.
        distance, angle: weights of the two parts.

    Returns:
        Scalar; 0 if the one side is the other turned, moved and stretched. A part without a pair or a triple is 0.

    Source: Relational Knowledge Distillation (Park et al., arXiv 1904.05068), the distance-wise and the
    angle-wise loss, and its 1 : 2 between them. Needs B^2 d and B^3 numbers of memory.
    """
    (lengths, directions), (goal_lengths, goal_directions) = _edges(student), _edges(teacher)
    total = student.sum() * 0
    if len(student) > 1:
        total = total + distance * functional.smooth_l1_loss(_relative(lengths), _relative(goal_lengths))
    if len(student) > 2:
        total = total + angle * functional.smooth_l1_loss(_angles(directions), _angles(goal_directions))
    return total


def _edges(points: Tensor) -> tuple[Tensor, Tensor]:
    """[B, d] -> lengths [B, B] and unit directions [B, B, d] of the edges from each point to each other."""
    edges = points[None, :, :] - points[:, None, :]
    squared = edges.square().sum(dim=2)
    apart = squared > _POINT
    # The root of 0 has no finite gradient: it is taken of 1, and dropped.
    lengths = torch.where(apart, squared, 1.0).sqrt()
    return lengths * apart, edges / lengths[:, :, None] * apart[:, :, None]


def _relative(lengths: Tensor) -> Tensor:
    """Lengths between two samples [B (B - 1)] over their mean."""
    pairs = lengths[_distinct(lengths)]
    return pairs / pairs.mean().clamp(min=1e-6)


def _angles(directions: Tensor) -> Tensor:
    """Cosines of the angles between two edges of each point, [B, (B - 1) (B - 2)]."""
    count = len(directions)
    cosines = directions @ directions.transpose(1, 2)
    ends = _distinct(cosines[0])
    at = torch.arange(count, device=directions.device)
    # Both ends are to be other than the point itself.
    elsewhere = (at[:, None, None] != at[None, :, None]) & (at[:, None, None] != at[None, None, :])
    return cosines[elsewhere & ends[None]].reshape(count, -1)


def _distinct(square: Tensor) -> Tensor:
    """bool [B, B]: all places but the diagonal."""
    return ~torch.eye(len(square), dtype=torch.bool, device=square.device)
