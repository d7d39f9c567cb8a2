"""Large contrastive batches in little memory: the model sees a chunk at a time, the loss sees everything.

First all chunks are embedded without keeping activations; then the loss's gradient by the embeddings is computed, which
needs no model; then each chunk passes the model again and that gradient is passed on. Dropout repeats its choices. The
gradients are those of the whole batch at once (GradCache, arXiv 2101.06983).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from teacher.batch import Batch
from teacher.training.model import TrainableTeacher

Inputs = dict[str, Any]


def split(inputs: Inputs, size: int) -> list[Inputs]:
    """Cut a batch into chunks of at most `size` rows, each with the pixels of its own images.

    Args:
        inputs: {"batch": a `Batch`, "people": int64 [B]}.
    """
    batch: Batch = inputs["batch"]
    has_image = (batch["counts"] > 0).long()
    before = torch.cat([has_image.new_zeros(1), has_image.cumsum(0)]).tolist()
    chunks = []
    for start in range(0, len(has_image), size):
        end = min(start + size, len(has_image))
        rows: Any = {k: v[start:end] if isinstance(v, Tensor) and k != "pixels" else v for k, v in batch.items()}
        if batch["pixels"] is not None:
            images = slice(before[start], before[end])
            rows["pixels"] = batch["pixels"][images] if images.start < images.stop else None
        chunks.append({"batch": rows, "people": inputs["people"][start:end]})
    return chunks


def chunked_backward(
    model: nn.Module,
    teacher: TrainableTeacher,
    inputs: Inputs,
    *,
    size: int,
    progress: float,
    scale: float,
    backward: Callable[[Tensor], None],
    no_sync: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Leave the gradients of the objective over the whole batch in the weights.

    Args:
        model: what wraps `teacher` (DistributedDataParallel, say), or `teacher` itself.
        teacher: the module that trains.
        inputs: the batch.
        size: rows per chunk.
        progress: share of the training that is done.
        scale: what the loss is multiplied by.
        backward: the backward pass, `Tensor.backward` or accelerate's.
        no_sync: a context in which `model` does not exchange gradients; they are exchanged with the last chunk.

    Returns:
        The loss, unscaled and detached, and its terms.
    """
    chunks = split(inputs, size)
    states, parts = [], []
    with torch.no_grad():
        for chunk in chunks:
            states.append(_random_state())
            parts.append(teacher(**chunk, task="embed")["embeddings"])
    embeddings = torch.cat(parts).requires_grad_()
    loss, terms = teacher.score(embeddings, inputs["people"], inputs["batch"]["modalities"], progress)
    wanted = (embeddings, *teacher.neck_weights())
    gradient, *of_neck = torch.autograd.grad(loss * scale, wanted)
    rows = gradient.split([len(part) for part in parts])
    for number, (chunk, its, state) in enumerate(zip(chunks, rows, states, strict=True)):
        is_last = number == len(chunks) - 1
        with nullcontext() if is_last else no_sync(), _replay(state):
            given = tuple(of_neck) if is_last else ()
            backward(model(**chunk, task="surrogate", gradient=its, neck_gradients=given)["loss"])
    return loss.detach(), terms


def _random_state() -> tuple[Tensor, Tensor | None]:
    return torch.get_rng_state(), torch.cuda.get_rng_state() if torch.cuda.is_available() else None


@contextmanager
def _replay(state: tuple[Tensor, Tensor | None]) -> Iterator[None]:
    """Within the context random numbers are those that followed `state`; afterwards, those that would have come."""
    now = _random_state()
    _set_random_state(state)
    try:
        yield
    finally:
        _set_random_state(now)


def _set_random_state(state: tuple[Tensor, Tensor | None]) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1])
