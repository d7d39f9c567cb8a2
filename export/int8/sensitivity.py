"""What INT8 costs, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from export.crops import Crops
from export.int8.calibration import Range, input_ranges
from export.int8.layers import Layer, chosen_layers
from export.int8.parts import crossing, stretch
from export.int8.qdq import Activations, insert
from export.session import COORDINATES, feeds, open_session

_BATCH = 16
Values = dict[str, NDArray[Any]]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class LayerLoss:
    """What is lost if only this layer is quantised.

    Attributes:
        layer: the layer.
        mean: 1 - mean cosine with the fp32 embeddings. worst: 1 - the least cosine.
    """

    layer: Layer
    mean: float
    worst: float

    @property
    def node(self) -> str:
        """The layer's name."""
        return self.layer.node

    def row(self) -> dict[str, str]:
        """For a table."""
        return {
            "layer": self.node,
            "kind": self.layer.kind,
            "weight": self.layer.weight,
            "1 - cosine, mean": f"{self.mean:.2e}",
            "worst": f"{self.worst:.2e}",
        }


def sensitivity(
    model_fp32: ModelProto,
    crops: Crops,
    calibration: Crops,
    *,
    activations: Activations = "int8",
    ranges: Mapping[str, Range] | None = None,
    threads: int = 0,
) -> list[LayerLoss]:
    """The loss of each layer that `quantise` would make int8, worst first; equal losses in graph order.

    The graph is walked once. Before each layer stands what fp32 has computed so far; from there on a copy in which this
    layer alone is int8 runs to the end. So no layer is computed again for the sake of a later one.

    Args:
        model_fp32: of a student. crops: what the loss is measured on.
        calibration: crops that give activations their ranges.
        activations: see `insert`. ranges: as of `input_ranges`, if they are known already.
        threads: of one operator; 0: as many as there are cores.
    """
    layers = chosen_layers(model_fp32)
    if ranges is None:
        ranges = input_ranges(model_fp32, layers, calibration, threads=threads)
    losses: list[LayerLoss] = []
    reference: Floats | None = None
    for layer, place, state in _walk(model_fp32, layers, crops, threads):
        rest = stretch(model_fp32, place, len(model_fp32.graph.node), state[0])
        if reference is None:
            reference = _coordinates(_run(rest, state, threads))
        found = _coordinates(_run(insert(rest, [layer], ranges, activations=activations), state, threads))
        cosines = _cosines(reference, found)
        losses.append(LayerLoss(layer, float(1 - cosines.mean()), float(1 - cosines.min())))
    return sorted(losses, key=lambda loss: (-loss.mean, -loss.worst))


def _walk(
    model: ModelProto, layers: Sequence[Layer], crops: Crops, threads: int
) -> Iterator[tuple[Layer, int, list[Values]]]:
    """Each layer, its place in the graph, and of each batch every tensor that crosses that place."""
    places = {node.name: place for place, node in enumerate(model.graph.node)}
    names = [value.name for value in model.graph.input]
    here, state = 0, [feeds(part, names) for part in crops.batches(_BATCH)]
    for layer in layers:
        place = places[layer.node]
        if place > here:
            made = _run(stretch(model, here, place, state[0]), state, threads)
            needed = crossing(model, place)
            state = [
                {name: values[name] for name in needed}
                for values in ({**old, **new} for old, new in zip(state, made, strict=True))
            ]
        here = place
        yield layer, place, state


def _run(part: ModelProto, state: Sequence[Values], threads: int) -> list[Values]:
    """The outputs of a stretch of a graph for each batch."""
    session = open_session(part, threads=threads)
    inputs, outputs = ([node.name for node in nodes] for nodes in (session.get_inputs(), session.get_outputs()))
    runs = (session.run(outputs, {name: values[name] for name in inputs}) for values in state)
    return [dict(zip(outputs, found, strict=True)) for found in runs]


def _coordinates(found: Sequence[Values]) -> Floats:
    return np.concatenate([values[COORDINATES] for values in found])


def _cosines(reference: Floats, found: Floats) -> NDArray[np.float64]:
    """[n] of rows; -1, the worst there is, where a row is 0 or not finite."""
    one, other = reference.astype(np.float64), found.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        cosines = (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    return np.where(np.isfinite(cosines), cosines, -1.0)
