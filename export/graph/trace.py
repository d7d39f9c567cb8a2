"""From a module to an ONNX graph, by torch.onnx's exporter, without what it has to say."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from export.graph.gelu import halve_last
from export.graph.lower import LEAST, lower
from export.graph.names import name_after_modules
from export.graph.shapes import copy_first_axes, infer_shapes
from export.session import COORDINATES
from reid import __version__
from reid.errors import UserError

NATIVE, GREATEST = 18, 21
"""Opsets that the exporter writes: it has none below, whatever it is asked, and above nothing here needs one."""

_CHATTER = (
    # Said of torch's own trees when an exported program is copied.
    (FutureWarning, r".isinstance\(treespec, LeafSpec\). is deprecated"),
    # Said when two inputs share an axis; it then bears the name that was asked for all the same.
    (UserWarning, r"# The axis name: \w+ will not be used"),
)


def trace(
    module: nn.Module,
    example: Mapping[str, Tensor],
    dynamic: Mapping[str, Mapping[int, Any]],
    *,
    opset: int,
    name: str,
) -> onnx.ModelProto:
    """The fp32 graph of a module whose output is `coordinates`.

    Nodes and weights are named after the modules that they come from. The same module gives the same bytes.

    Args:
        module: in evaluation mode.
        example: inputs by name.
        dynamic: input -> axis -> `torch.export.Dim`.
        opset: to write. name: of the graph.

    Raises:
        UserError: this opset cannot be written.
    """
    if not LEAST <= opset <= GREATEST:
        raise UserError(f"opset {opset}: cannot be written; expected {LEAST} to {GREATEST}")
    with _quiet():
        program = torch.onnx.export(
            module.train(False), kwargs=dict(example), dynamo=True, opset_version=max(opset, NATIVE),
            input_names=list(example), output_names=[COORDINATES], external_data=False, verbose=False,
            dynamic_shapes={key: dict(axes) for key, axes in dynamic.items()},
        )  # fmt: skip
    assert program is not None
    model = program.model_proto
    halve_last(model)
    copy_first_axes(model)
    name_after_modules(model)
    model.graph.name = name
    model.producer_name, model.producer_version = "reid-distill", __version__
    model = infer_shapes(lower(model, opset))
    # The oldest version of the format that the opset goes with; nothing older than opset 15's was ever asked for.
    model.ir_version = max(8, onnx.helper.find_min_ir_version_for(list(model.opset_import)))
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    # It warns of each operator of torchvision, which is not needed here.
    registry = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registry.level
    registry.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for category, message in _CHATTER:
                warnings.filterwarnings("ignore", message, category)
            yield
    finally:
        registry.setLevel(level)
