"""The batch of all processes, seen by each of them."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def is_distributed() -> bool:
    """Whether more than one process trains."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def gather_labels(values: Tensor) -> Tensor:
    """[n, ...] of this process -> [n * processes, ...] in the order of the processes; without gradient."""
    if not is_distributed():
        return values
    parts = [torch.empty_like(values) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, values.contiguous())
    return torch.cat(parts)


def gather_embeddings(embeddings: Tensor) -> Tensor:
    """[n, D] of this process -> [n * processes, D], with gradient to this process's own rows.

    Every process then computes the same loss over everything, and its backward pass gives the loss's derivative by its
    own embeddings alone; the derivative by a shared weight is the sum over processes. DistributedDataParallel takes
    the mean instead, so the gradient of the embeddings is multiplied by their number. What every process computes in
    full, the neck, is averaged over equal gradients and needs nothing.
    """
    if not is_distributed():
        return embeddings
    parts = [torch.empty_like(embeddings) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, embeddings.detach().contiguous())
    parts[dist.get_rank()] = _scale(embeddings, dist.get_world_size())
    return torch.cat(parts)


class _ScaleGradient(torch.autograd.Function):
    """The identity, whose gradient is multiplied."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, factor: int) -> Tensor:
        ctx.factor = factor
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.factor, None


_scale: Any = _ScaleGradient.apply
