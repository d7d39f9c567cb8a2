"""Small graphs and crops for the tests of INT8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto
from small_export import lively, write_student

from export.crops import Crops, synthetic_crops
from export.graph.image import image_graph
from export.source import Source, open_source
from student.build import build_student


def crops_of(source: Source, per_modality: int, seed: int = 0) -> Crops:
    return synthetic_crops(source.preprocessing, per_modality, seed)


def cosines(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    dots = (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    return np.asarray(dots, dtype=np.float32)


def outlier_source(folder: Path, block: int = 2, factor: float = 3000.0) -> Source:
    """A student with a hidden neuron of one MLP that answers thousands of times louder than the others.

    What it feeds into is turned down by as much, so in fp32 it is a student like any other; but the range of what the
    second product of that MLP reads is the loud neuron's alone.
    """
    student = build_student("vit-micro", 16, height=128, width=64)
    lively(student)
    mlp = student.backbone.get_submodule(f"layers.{block}.mlp")
    first, second = mlp.get_submodule("fc1"), mlp.get_submodule("fc2")
    with torch.no_grad():
        first.get_parameter("weight")[7] *= factor
        first.get_parameter("bias")[7] *= factor
        second.get_parameter("weight")[:, 7] /= factor
    return open_source(write_student(folder, student))


def fc2(model: ModelProto, block: int) -> str:
    """The node of the second product of a block's MLP: the last of six with weights."""
    weighted = {tensor.name for tensor in model.graph.initializer if len(tensor.dims) == 2}
    products = [n.name for n in model.graph.node if n.op_type == "MatMul" and n.input[1] in weighted]
    return products[6 * block + 5]


__all__ = ["cosines", "crops_of", "fc2", "image_graph", "outlier_source"]
