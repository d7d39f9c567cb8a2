"""The text student as an fp32 ONNX graph."""

from __future__ import annotations

import onnx
import torch
from torch import Tensor, nn

from export.graph.metadata import describe, set_metadata
from export.graph.opset import PREFERRED
from export.graph.plain import plain_copy
from export.graph.trace import trace
from export.session import ATTENTION_MASK, INPUT_IDS
from export.source import Source
from reid.errors import UserError
from student.text import TextStudent

_MOST = 4096


class _Sentences(nn.Module):
    def __init__(self, student: TextStudent) -> None:
        super().__init__()
        self.student = student

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        outputs: Tensor = self.student(input_ids, attention_mask)
        return outputs


def text_graph(source: Source, *, opset: int = PREFERRED) -> onnx.ModelProto:
    """The graph of a student for sentences.

    Inputs `input_ids` and `attention_mask` int64 [batch, tokens], as `student.sentences.SentenceReader` pads them or
    with the padding on the left; from 1 token to the student's `longest`. Output `coordinates` float32 [batch, k], not
    normalised, in the space of the images' coordinates.

    Raises:
        UserError: there is no text student, or this opset cannot be written.
    """
    if source.text is None:
        raise UserError(f"{source.folder}: has no text student; distil one from a teacher's sentences")
    # Sizes that occur nowhere else, so that nothing else is taken for them.
    example = {name: torch.ones(2, 5, dtype=torch.int64) for name in (INPUT_IDS, ATTENTION_MASK)}
    axes = {
        0: torch.export.Dim("batch", min=1, max=_MOST),
        1: torch.export.Dim("tokens", min=1, max=source.text.config.longest),
    }
    module = _Sentences(plain_copy(source.text))
    model = trace(module, example, dict.fromkeys(example, axes), opset=opset, name=f"{source.name} for text")
    set_metadata(model, describe(source, text=True, opset=opset))
    return model
