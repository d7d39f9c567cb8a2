"""Where in an image a student looks: attention rollout, or gradients for students without attention over patches."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from student.model import StudentModel
from student.pooling import STRIPES, stripes

HOW = {
    True: "Attention rollout: the attention of all layers multiplied through, residual connections included, from what "
    "is pooled back to the patches (arXiv 2005.00928).",
    False: "Gradients: the last feature map times the gradient of the cosine between the student's output and the "
    "teacher's coordinates (arXiv 2011.08891; with mean pooling this is Grad-CAM, arXiv 1610.02391).",
}
"""Whether the backbone has tokens -> how its maps come about, in words."""


def has_tokens(student: StudentModel) -> bool:
    """Whether its backbone attends over tokens of patches, from the first layer to the last."""
    return student.config.family.special is not None


def look(student: StudentModel, pixels: Tensor, modalities: Tensor, targets: Tensor) -> Tensor:
    """How much each place of an image counts for the student's output.

    Args:
        student: of any family; it is left as it is.
        pixels: float32 [B, 3, H, W], preprocessed. modalities: int64 [B], places in `list(Modality)`.
        targets: float32 [B, k], the teacher's coordinates; only looked at where gradients are.

    Returns:
        float32 [B, rows, columns] on the CPU, not negative, each image's sum 1.
    """
    pixels, modalities, targets = (tensor.to(student.device) for tensor in (pixels, modalities, targets))
    if has_tokens(student):
        found = _by_rollout(student, pixels, modalities)
    else:
        found = _by_gradient(student, pixels, modalities, targets)
    return _shares(found.detach().float().cpu())


def rollout(attentions: Sequence[Tensor]) -> Tensor:
    """Attention rollout: A_L' ... A_1' with A' = (mean over heads of A + I) / 2.

    Args:
        attentions: [B, heads, N, N] of each layer from the first to the last, rows summing to 1.

    Returns:
        [B, N, N]: row i says how much of each input token is in output token i; rows sum to 1.

    Source: Abnar and Zuidema, arXiv 2005.00928, section 4. Half of a layer's output is taken to come by its residual
    connection.
    """
    joint: Tensor | None = None
    for attention in attentions:
        mean = attention.mean(1)
        layer = (mean + torch.eye(mean.shape[-1], dtype=mean.dtype, device=mean.device)) / 2
        joint = layer if joint is None else layer @ joint
    if joint is None:
        raise ValueError("no layer attends")
    return joint


def pooled_from(pooling: str, special: int, grid: tuple[int, int]) -> Tensor:
    """[special + rows x columns] float32, sum 1: how much of each output token is in the pooled vectors together.

    Args:
        pooling: see `student.pooling.pool`. special: tokens before those of the patches. grid: rows, columns.
    """
    rows, columns = grid
    first = torch.zeros(special)
    first[0] = float(pooling in ("cls", "cls_mean"))
    patches = torch.zeros(rows, columns)
    if pooling == "parts":
        for top, bottom in stripes(rows):
            patches[top:bottom] += 1 / (STRIPES * (bottom - top) * columns)
    elif pooling != "cls":
        patches += 1 / (rows * columns)
    weights = torch.cat([first, patches.flatten()])
    return weights / weights.sum()


def _by_rollout(student: StudentModel, pixels: Tensor, modalities: Tensor) -> Tensor:
    """[B, rows, columns]: what the pooled tokens took from the patches; what they took from special tokens is left."""
    family, config = student.config.family, student.config
    nested: Any = config.backbone_config()
    assert family.special is not None
    special, grid = family.special(nested), family.grid(nested, config.height, config.width)
    # Fused kernels keep no weights, so a copy computes them one by one.
    eager = copy.deepcopy(student).train(False)
    eager.set_attn_implementation("eager")
    with _recorded(eager) as outputs, torch.no_grad():
        eager.features(pixels, modalities)
    joint = rollout(outputs[0].attentions)
    taken: Tensor = pooled_from(config.pooling, special, grid).to(joint) @ joint
    patches: Tensor = taken[:, special:].unflatten(1, grid)
    return patches


def _by_gradient(student: StudentModel, pixels: Tensor, modalities: Tensor, targets: Tensor) -> Tensor:
    """[B, h, w]: sum over channels of activation x gradient, where it speaks for the target."""
    training = student.training
    student.train(False)
    try:
        with _recorded(student) as outputs, torch.enable_grad():
            alike = functional.cosine_similarity(student(pixels, modalities), targets)
            features: Tensor = outputs[0].last_hidden_state
            (gradient,) = torch.autograd.grad(alike.sum(), features)
    finally:
        student.train(training)
    speaking: Tensor = (features * gradient).sum(1)
    return functional.relu(speaking)


@contextmanager
def _recorded(student: StudentModel) -> Iterator[list[Any]]:
    """What the backbone gives in the passes inside, attention weights with it where they can be had."""
    outputs: list[Any] = []
    asked = {"output_attentions": True} if has_tokens(student) else {}
    hooks = (
        student.backbone.register_forward_pre_hook(lambda _, args, kw: (args, {**kw, **asked}), with_kwargs=True),
        student.backbone.register_forward_hook(lambda _, args, output: outputs.append(output)),
    )
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def _shares(found: Tensor) -> Tensor:
    """[B, h, w] with sums 1; a map of zeros becomes even."""
    total = found.sum((1, 2), keepdim=True)
    even = torch.full_like(found, 1 / found[0].numel())
    return torch.where(total > 0, found / total.clamp_min(torch.finfo(found.dtype).tiny), even)
