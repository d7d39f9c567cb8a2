"""`teacher doctor`: does a checkpoint do what it says? Each check is one that has failed silently somewhere before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from peft.tuners.lora import LoraLayer
from PIL import Image

from reid.modality import Modality
from reid.similarity import normalise
from reid.synthetic.world import World
from teacher.batch import Batch, make_batch, to_device
from teacher.checkpoint import TUNED
from teacher.lora import ADAPTER
from teacher.teacher import Teacher
from teacher.whole import match_parts, weights_of

_PEOPLE = 6
_ALMOST = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 5e-3}
"""How far from 1 a cosine may be that should be 1, by the dtype of the weights."""


@dataclass(frozen=True)
class Finding:
    """One check: what was looked at, what was seen, and whether it is as it should be."""

    check: str
    seen: str
    good: bool

    def __str__(self) -> str:
        return f"{'ok  ' if self.good else 'BAD '} {self.check}: {self.seen}"


@dataclass(frozen=True)
class Probe:
    """A synthetic batch: modalities [B], token ids of the captions, pixels uint8 of the images."""

    modalities: list[Modality]
    captions: list[list[int] | None]
    pixels: torch.Tensor


def examine(teacher: Teacher) -> list[Finding]:
    """All checks on a batch of synthetic people in four modalities."""
    probe = _probe(teacher)
    rows = range(len(probe.modalities))
    batch = _batch(teacher, probe, rows)
    whole = _embed(teacher, batch)
    usual = normalise(np.nan_to_num(whole) + 1e-12)
    almost = _ALMOST.get(teacher.encoder.model.dtype, 1e-4)

    def agree(check: str, other: NDArray[np.float32]) -> Finding:
        apart = float(1 - (usual * normalise(np.nan_to_num(other) + 1e-12)).sum(axis=1).min())
        return Finding(check, f"1 - cosine at most {max(apart, 0):.1e}, may be {almost:.0e}", apart <= almost)

    findings = [
        Finding("finite numbers", f"{np.isfinite(whole).mean():.0%} of {whole.size:,}", bool(np.isfinite(whole).all())),
        agree("left padding as right padding", _embed(teacher, _batch(teacher, probe, rows, left=True))),
        agree(
            "batch of 1 as batch of N", np.concatenate([_embed(teacher, _batch(teacher, probe, [row])) for row in rows])
        ),
        agree("shared prefix as whole prompt", _embed(teacher, batch, shared=True)),
        _variety(whole, usual),
        _people_apart(usual, probe),
    ]
    return findings + _adapter(teacher, batch, whole) + _whole(teacher)


def trainable(teacher: Teacher) -> list[str]:
    """What was trained and where it comes from, a line each."""
    kind = teacher.recipe.tuning.kind
    lines = [f"base      {teacher.encoder.backbone.family.name}, {teacher.base}"]
    weights = sum(weight.numel() for weight in teacher.encoder.model.parameters())
    if teacher.adapter is not None:
        layers = _lora_layers(teacher)
        own = sum(w.numel() for name, w in teacher.adapter.named_parameters() if "lora_" in name)
        lines.append(
            f"adapter   {len(layers)} linear layers, {own:,} of {weights:,} weights, from {teacher.checkpoint}"
        )
    elif teacher.whole_weights:
        pass
    elif kind == "full" and teacher.checkpoint:
        lines.append(f"weights   all {weights:,} trained, from {teacher.checkpoint}/model")
    else:
        lines.append(f"weights   {weights:,}, none trained")
    parts = match_parts(teacher.encoder.model, teacher.encoder.family, teacher.recipe.tuning.used_parts)
    if teacher.whole_weights:
        own = sum(weight.numel() for weight in weights_of(teacher.encoder.model, parts).values())
        names = ", ".join(part.settings.part for part in parts)
        lines.append(f"whole     {names}: {own:,} of {weights:,} weights, from {teacher.checkpoint}/{TUNED}")
    lines += _readout(teacher)
    neck = (
        "none" if teacher.neck is None else f"{len(teacher.neck.classifier.weight)} people, from {teacher.checkpoint}"
    )
    return [
        *lines,
        f"neck      {neck}",
        f"recipe    {teacher.recipe.name}; embedding read {teacher.recipe.readout.embedding}",
    ]


def _probe(teacher: Teacher) -> Probe:
    world = World(
        seed=99, people=_PEOPLE, cameras=1, per_camera=2, infrared_cameras=1, sketches=1, captions=2,
        modalities=teacher.encoder.modalities,
    )  # fmt: skip
    preprocessing = teacher.encoder.backbone.preprocessing
    modalities: list[Modality] = []
    texts: list[str] = []
    pixels = []
    for index in range(len(world)):
        place = world.place(index)
        modalities.append(place.modality)
        if place.modality is Modality.TEXT:
            texts.append(world.text(index))
        else:
            pixels.append(preprocessing.fit(Image.fromarray(world.render(index))))
    tokens = iter(teacher.encoder.book.captions(texts)[0])
    captions = [None if modality.is_image else next(tokens) for modality in modalities]
    return Probe(modalities, captions, torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2))


def _batch(teacher: Teacher, probe: Probe, rows: Sequence[int], *, left: bool = False) -> Batch:
    scale, shift = (
        torch.from_numpy(v)[:, None, None] for v in teacher.encoder.backbone.preprocessing.scale_and_shift()
    )
    images = [row for row, modality in enumerate(probe.modalities) if modality.is_image]
    wanted = [images.index(row) for row in rows if probe.modalities[row].is_image]
    pixels = probe.pixels[wanted].float() * scale + shift if wanted else None
    modalities, captions = [probe.modalities[r] for r in rows], [probe.captions[r] for r in rows]
    made = make_batch(teacher.encoder.book, modalities, captions, pixels, left=left)
    return to_device(made, teacher.encoder.device)


def _embed(teacher: Teacher, batch: Batch, *, shared: bool = False) -> NDArray[np.float32]:
    """Embeddings as a store would hold them."""
    with torch.inference_mode():
        embeddings = teacher.encoder(batch, shared=shared)
        if teacher.readout_neck is not None:
            embeddings = teacher.readout_neck(embeddings)
        return np.asarray(embeddings.float().cpu().numpy())


def _variety(embeddings: NDArray[np.float32], unit: NDArray[np.float32]) -> Finding:
    """Collapse: dimensions that never change, or all samples in one place; `unit` is `embeddings` of length 1."""
    if not np.isfinite(embeddings).all():
        return Finding("no collapse", "not looked at: numbers are not finite", False)
    spread = embeddings.std(axis=0)
    dead = int((spread <= 1e-6 * max(float(np.abs(embeddings).max()), 1e-30)).sum())
    values = np.linalg.svd(unit - unit.mean(axis=0), compute_uv=False) ** 2
    shares = values / max(float(values.sum()), 1e-30)
    rank = float(np.exp(-(shares * np.log(np.maximum(shares, 1e-30))).sum()))
    seen = (
        f"{dead} of {spread.size} dimensions constant, effective rank {rank:.1f} of {min(len(unit) - 1, spread.size)}"
    )
    return Finding("no collapse", seen, dead == 0 and float(values.sum()) > 1e-6 * len(unit))


def _people_apart(unit: NDArray[np.float32], probe: Probe) -> Finding:
    """Mean cosines, to be read: nothing is wrong with a base that does not know people yet."""
    people = np.arange(len(probe.modalities)) // (len(probe.modalities) // _PEOPLE)
    cosine = unit @ unit.T
    same = people[:, None] == people[None, :]
    off = ~np.eye(len(people), dtype=bool)
    return Finding(
        "people apart",
        f"mean cosine {cosine[same & off].mean():.3f} of one person, {cosine[~same].mean():.3f} of two",
        True,
    )


def _lora_layers(teacher: Teacher) -> list[LoraLayer]:
    return [m for m in teacher.encoder.model.modules() if isinstance(m, LoraLayer) and ADAPTER in m.lora_A]


def _readout(teacher: Teacher) -> list[str]:
    reader = teacher.encoder.reader
    own = sum(weight.numel() for weight in reader.parameters())
    if not own:
        return []
    cameras = "" if reader.cameras is None else f"; {len(reader.cameras.names)} cameras of {reader.cameras.kind}"
    return [f"readout   {teacher.recipe.readout.describe()}: {own:,} weights{cameras}"]


def _whole(teacher: Teacher) -> list[Finding]:
    if not teacher.whole_weights:
        return []
    seen = f"{teacher.whole_changed} of {teacher.whole_weights} tensors differ from the base's"
    return [Finding("whole parts trained", seen, teacher.whole_changed > 0)]


def _adapter(teacher: Teacher, batch: Batch, whole: NDArray[np.float32]) -> list[Finding]:
    if teacher.adapter is None:
        return []
    layers = _lora_layers(teacher)
    moved = sum(bool(layer.lora_B[ADAPTER].get_parameter("weight").any()) for layer in layers)
    with teacher.adapter.disable_adapter():
        without = _embed(teacher, batch)
    change = float(np.abs(whole - without).mean() / max(float(np.abs(without).mean()), 1e-30))
    return [
        Finding("adapter trained", f"{moved} of {len(layers)} layers have moved from their start", moved > 0),
        Finding("adapter active", f"embeddings change by {100 * change:.1f} % without it", change > 1e-4),
    ]
