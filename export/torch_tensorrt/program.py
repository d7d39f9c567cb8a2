"""A student for images as an ExportedProgram (.pt2), which any torch loads without this package."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor
from torch.export import ExportedProgram

from export.batch import Profile
from export.graph.image import PixelStudent
from export.session import MODALITY, PIXELS
from export.source import Source
from reid.artifact import replacing
from reid.errors import UserError


def example_inputs(source: Source, batch: int) -> dict[str, Tensor]:
    """Inputs of this batch size, zeros."""
    inputs = {PIXELS: torch.zeros(batch, 3, source.preprocessing.height, source.preprocessing.width)}
    if source.by_modality:
        inputs[MODALITY] = torch.zeros(batch, dtype=torch.int64)
    return inputs


def exported_program(source: Source, profile: Profile) -> ExportedProgram:
    """The program of a student, for batches from the profile's minimum to its maximum.

    The same inputs and output as the ONNX graph has, so that either can stand for the other.
    """
    module = PixelStudent(source.student).train(False)
    # A batch of one in the example would make the program one of batch one alone.
    example = example_inputs(source, max(2, profile.optimum))
    dynamic: dict[str, dict[int, object]] | None = None
    if profile.minimum < profile.maximum:
        batch = torch.export.Dim("batch", min=profile.minimum, max=profile.maximum)
        dynamic = {name: {0: batch} for name in example}
    else:
        example = example_inputs(source, profile.maximum)
    with warnings.catch_warnings():
        # torch says this of its own trees while it copies a program.
        warnings.filterwarnings("ignore", r".isinstance\(treespec, LeafSpec\). is deprecated", FutureWarning)
        return torch.export.export(module, tuple(example.values()), dynamic_shapes=dynamic)


def save_program(program: ExportedProgram, path: Path) -> None:
    """Write a .pt2 whole or not at all.

    Raises:
        UserError: it cannot be written.
    """
    with replacing(path) as part, part.open("wb") as file:
        torch.export.save(program, file)


def load_program(path: Path) -> ExportedProgram:
    """Read a .pt2.

    Raises:
        UserError: it is none.
    """
    try:
        return torch.export.load(str(path))
    except Exception as error:  # torch, zipfile and json each have their own
        raise UserError(f"{path}: not an exported program ({' '.join(str(error).split())[:200]})") from error
