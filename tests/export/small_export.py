"""Small student artifacts to export, made without training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import PreTrainedTokenizerFast

from export.source import Source, open_source
from reid.artifact import ArtifactWriter
from reid.subspace import FILE as SUBSPACE_FILE
from reid.subspace import Subspace
from student.build import build_student
from student.checkpoint import KIND, TEXT, save_weights, tokenizer_folder
from student.model import StudentModel
from student.text import build_text_student

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


def small_tokenizer() -> PreTrainedTokenizerFast:
    """One of whole words."""
    words = ["[UNK]", "a", "man", "woman", "in", "with", "red", "blue", "coat", "hat", "bag", ".", "the", "one"]
    built = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    built.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=built, unk_token="[UNK]")


def text_source(folder: Path, *, longest: int = 12, seed: int = 0, **options: Any) -> Source:
    """As `small_source`, with a text student of `longest` tokens; `options` are of `build_text_student`."""
    student, tokenizer = build_student("vit-micro", RANK, height=128, width=64), small_tokenizer()
    text = build_text_student(
        range(1, 12), RANK, len(tokenizer), **{"hidden": 32, "layers": 2, "heads": 2, "longest": longest, **options}
    )
    lively(student)
    lively(text, seed)
    with ArtifactWriter(folder, KIND, {"command": "test"}) as artifact:
        save_weights(student, artifact.path)
        random_subspace(RANK).save(artifact.path / SUBSPACE_FILE)
        (artifact.path / TEXT).mkdir()
        save_weights(text, artifact.path / TEXT)
        tokenizer.save_pretrained(tokenizer_folder(artifact.path))
        artifact.details.update(student="vit-micro", text=True)
    return open_source(folder)
