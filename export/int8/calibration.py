"""Calibration: which images it needs, and the range that they give each activation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from onnx import ModelProto, ValueInfoProto, helper

from export.crops import Crops
from export.int8.layers import Layer
from export.session import feeds, open_session
from reid.errors import UserError
from reid.modality import Modality

FEWEST = 8
"""Images of a modality below which a range is left to chance."""
_BATCH = 8


class Range(NamedTuple):
    """Least and greatest value that an activation took."""

    low: float
    high: float

    @property
    def largest(self) -> float:
        """In magnitude."""
        return max(abs(self.low), abs(self.high))


def check_calibration(crops: Crops | None, modalities: Iterable[Modality]) -> list[str]:
    """What the user should know of the images that INT8 is calibrated on.

    Args:
        crops: the images; None: none were given.
        modalities: what the student answers; text is not looked at.

    Returns:
        Warnings, a line each.

    Raises:
        UserError: there are no images.
    """
    if crops is None or not len(crops):
        raise UserError("int8 needs images of people to calibrate on, and there are none; name a data set with --data")
    warnings, counts = [], {modality: crops.modalities.count(modality) for modality in modalities if modality.is_image}
    for modality, count in counts.items():
        if not count:
            warnings.append(
                f"{crops.origin}: no {modality} images to calibrate int8 on, which the student answers too: what only "
                f"they excite will be cut off; name a data set that has some with --data"
            )
        elif count < FEWEST:
            warnings.append(
                f"{crops.origin}: {_images(count, modality)} to calibrate int8 on; take at least {FEWEST}, better 32"
            )
    return warnings


def input_ranges(model: ModelProto, layers: Sequence[Layer], crops: Crops, *, threads: int = 0) -> dict[str, Range]:
    """The range of every tensor that a layer reads, over all crops, by ONNX Runtime in fp32.

    The reduction is part of the graph, so that no activation leaves it.

    Args:
        model: fp32. layers: of it. crops: of every modality.
        threads: of one operator; 0: as many as there are cores.

    Raises:
        ValueError: an activation is not finite.
    """
    tensors = list(dict.fromkeys(layer.tensor for layer in layers))
    if not tensors:
        return {}
    measuring = ModelProto()
    measuring.CopyFrom(model)
    del measuring.graph.output[:]
    outputs = []
    for tensor in tensors:
        for kind in ("ReduceMin", "ReduceMax"):
            name = f"{tensor}/{kind}"
            measuring.graph.node.append(helper.make_node(kind, [tensor], [name], name, keepdims=0))
            measuring.graph.output.append(ValueInfoProto(name=name))
            outputs.append(name)
    session = open_session(measuring, threads=threads)
    names = [node.name for node in session.get_inputs()]
    found = np.array([session.run(outputs, feeds(part, names)) for part in crops.batches(_BATCH)], dtype=np.float64)
    lows, highs = found[:, ::2].min(axis=0), found[:, 1::2].max(axis=0)
    for tensor, low, high in zip(tensors, lows, highs, strict=True):
        if not np.isfinite([low, high]).all():
            raise ValueError(f"{model.graph.name}: {tensor} is not finite on {crops.origin}, so it has no range")
    return {tensor: Range(float(low), float(high)) for tensor, low, high in zip(tensors, lows, highs, strict=True)}


def _images(count: int, modality: Modality) -> str:
    return f"only {count} {modality} image{'s' if count > 1 else ''}"
