"""Small student artifacts to export, made without training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from export.source import Source, open_source
from reid.artifact import ArtifactWriter
from reid.subspace import FILE as SUBSPACE_FILE
from reid.subspace import Subspace
from student.build import build_student
from student.checkpoint import KIND, save_weights
from student.model import StudentModel

DIM, RANK = 48, 16


def random_subspace(rank: int = RANK, dim: int = DIM, seed: int = 0) -> Subspace:
    """Orthonormal directions about a mean."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(dim, dim)))[0][:, :rank]
    spectrum = np.arange(dim, 0, -1, dtype=np.float64)
    return Subspace("principal", rng.normal(size=(1, dim)) / dim, basis, spectrum[:rank].copy(), spectrum)


def lively(model: nn.Module, seed: int = 0) -> None:
    """Weights of a size that training leaves, so that activations have a range and images differ."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim > 1 and "embeddings" not in name.rsplit(".", 1)[-1]:
                parameter.copy_(noise / parameter[0].numel() ** 0.5)
            elif "norm" in name and name.endswith("weight"):
                parameter.copy_(1 + 0.2 * noise)
            else:
                parameter.copy_(0.2 * noise)


def write_student(folder: Path, student: StudentModel) -> Path:
    """An artifact of this student, with a subspace of its rank."""
    with ArtifactWriter(folder, KIND, {"command": "test"}) as artifact:
        save_weights(student, artifact.path)
        random_subspace(student.config.dim).save(artifact.path / SUBSPACE_FILE)
        artifact.details.update(student=student.config.student, text=False)
    return folder


def small_source(folder: Path, name: str = "vit-micro", height: int = 128, width: int = 64, **options: Any) -> Source:
    """A student that was not trained but whose activations are alive, opened from an artifact that is written here."""
    student = build_student(name, RANK, height=height, width=width, **options)
    lively(student)
    return open_source(write_student(folder, student))
