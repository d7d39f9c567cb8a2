"""How large a student is, and how much it computes."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from student.configuration import StudentConfig
from student.model import StudentModel
from student.text import TextStudent, TextStudentConfig


@dataclass(frozen=True)
class Size:
    """The size of a model.

    Attributes:
        parameters: how many, whether they train or not.
        gflops: multiply-adds of matrix products and convolutions for one image, in 10^9. This is what the papers of
            ViTs call GFLOPs (4.6 for ViT-S/16 at 224 x 224); a multiplication and an addition count as one.
    """

    parameters: int
    gflops: float

    def __str__(self) -> str:
        return f"{self.parameters / 1e6:.1f} M parameters, {self.gflops:.2f} GFLOPs"


def count(model: StudentModel | TextStudent, *, tokens: int = 64) -> Size:
    """The size of a student for one image, or for one sentence of so many tokens.

    The multiply-adds are counted on a copy without memory, with attention written out: the counter does not see into
    every fused kernel.
    """
    parameters = sum(parameter.numel() for parameter in model.parameters())
    config = copy.deepcopy(model.config)
    config._attn_implementation = "eager"
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        if isinstance(config, StudentConfig):
            pixels = torch.empty(1, 3, config.height, config.width)
            StudentModel(config).train(False)(pixels, torch.zeros(1, dtype=torch.int64))
        else:
            assert isinstance(config, TextStudentConfig)
            ids = torch.ones(1, tokens, dtype=torch.int64)
            TextStudent(config).train(False)(ids, ids)
    # The counter counts a multiplication and an addition as two.
    return Size(parameters, counter.get_total_flops() / 2e9)
