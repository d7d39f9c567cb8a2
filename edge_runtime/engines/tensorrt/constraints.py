"""Precision of single layers, where the graph has no types of its own (TensorRT 8.6)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any


def keep_in_fp32(trt: Any, network: Any, nodes: Sequence[str]) -> list[str]:
    """Bind every layer that was made of one of these ONNX nodes to fp32, its outputs too.

    Returns:
        Notes: nodes that no layer was made of.
    """
    wanted, met = set(nodes), set()
    for layer in _layers(network):
        node = node_of(layer)
        if node not in wanted:
            continue
        met.add(node)
        floating = [place for place in range(layer.num_outputs) if layer.get_output(place).dtype == trt.DataType.FLOAT]
        # A shape computation has whole numbers, which stay what they are.
        if not floating:
            continue
        layer.precision = trt.DataType.FLOAT
        for place in floating:
            layer.set_output_type(place, trt.DataType.FLOAT)
    missing = sorted(wanted - met)
    return (
        [f"{len(missing)} of {len(wanted)} nodes to keep in fp32 became no layer, first {missing[0]}"]
        if missing
        else []
    )


def node_of(layer: Any) -> str:
    """Name of the ONNX node that a layer was made of: the parser notes it in the metadata, else it is the name."""
    _, marked, rest = str(layer.metadata).partition("[ONNX Layer: ")
    return rest.partition("]")[0] if marked else str(layer.name)


def _layers(network: Any) -> Iterator[Any]:
    for place in range(network.num_layers):
        yield network.get_layer(place)
