"""A student for images as an fp32 ONNX graph."""

from __future__ import annotations

import onnx
import torch
from torch import Tensor, nn

from edge_runtime.preprocess import Preprocessing
from export.graph.metadata import describe, set_metadata
from export.graph.opset import PREFERRED
from export.graph.plain import plain_copy
from export.graph.trace import trace
from export.session import MODALITY, PIXELS
from export.source import Source
from student.model import StudentModel

_MOST = 4096
"""Images of a batch that the trace is told to expect; the graph itself does not know it."""


class Normalise(nn.Module):
    """Pixels from 0 to 255 to what the student was trained on."""

    scale: Tensor
    shift: Tensor

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        for name, values in zip(("scale", "shift"), preprocessing.scale_and_shift(), strict=True):
            self.register_buffer(name, torch.from_numpy(values)[None, :, None, None])

    def forward(self, pixels: Tensor) -> Tensor:
        return pixels * self.scale + self.shift


class PixelStudent(nn.Module):
    """A student that takes pixels float32 [batch, 3, H, W], RGB from 0 to 255, and normalises them itself."""

    def __init__(self, student: StudentModel) -> None:
        super().__init__()
        self.normalise, self.student = Normalise(student.preprocessing), plain_copy(student)

    def forward(self, pixels: Tensor, modality: Tensor | None = None) -> Tensor:
        """Coordinates float32 [batch, k], not normalised."""
        outputs: Tensor = self.student(self.normalise(pixels), modality)
        return outputs


def image_graph(source: Source, *, opset: int = PREFERRED) -> onnx.ModelProto:
    """The graph of a student for images.

    Input `pixels` float32 [batch, 3, H, W], RGB from 0 to 255: its first two nodes normalise them. Input `modality`
    int64 [batch], codes as in `export.crops.IMAGE_MODALITIES`, only if the student has a stem for each. Output
    `coordinates` float32 [batch, k], not normalised. The batch may be of any size.

    Raises:
        UserError: this opset cannot be written.
    """
    height, width = source.preprocessing.height, source.preprocessing.width
    example: dict[str, Tensor] = {PIXELS: torch.zeros(2, 3, height, width)}
    if source.by_modality:
        example[MODALITY] = torch.tensor([0, 1])
    batch = torch.export.Dim("batch", min=1, max=_MOST)
    module = PixelStudent(source.student)
    model = trace(module, example, {name: {0: batch} for name in example}, opset=opset, name=source.name)
    set_metadata(model, describe(source, opset=opset))
    return model
