"""What an engine is made of, layer by layer."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from edge_runtime.engines.tensorrt.constraints import node_of


@dataclass(frozen=True)
class Layer:
    """One layer: what it does, of which ONNX node, and the types of its outputs."""

    name: str
    kind: str
    node: str
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class LayerReport:
    """The layers in order.

    Attributes:
        source: "engine": as they run, fused; "network": as they were parsed, before TensorRT fused them.
    """

    source: str
    layers: tuple[Layer, ...]

    def __len__(self) -> int:
        return len(self.layers)

    def types(self) -> dict[str, int]:
        """How many layers give each type, most frequent first."""
        return dict(Counter(kind for layer in self.layers for kind in sorted(set(layer.outputs))).most_common())

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"source": self.source, "types": self.types(), "layers": [asdict(layer) for layer in self.layers]}


def network_layers(network: Any) -> LayerReport:
    """Of a parsed network; takes no GPU."""
    layers = []
    for place in range(network.num_layers):
        layer = network.get_layer(place)
        outputs = [layer.get_output(number) for number in range(layer.num_outputs)]
        types = tuple(str(output.dtype).rpartition(".")[2] for output in outputs if output is not None)
        layers.append(Layer(layer.name, str(layer.type).rpartition(".")[2], node_of(layer), types))
    return LayerReport("network", tuple(layers))


def engine_layers(trt: Any, logger: Any, plan: bytes) -> LayerReport | None:
    """Of a finished engine, by TensorRT's inspector; None if the engine does not load here."""
    engine = trt.Runtime(logger).deserialize_cuda_engine(plan)
    if engine is None:
        return None
    text = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    return LayerReport("engine", tuple(_inspected(layer) for layer in json.loads(text).get("Layers", [])))


def _inspected(layer: Any) -> Layer:
    """A layer of the inspector's JSON: a name alone, or, of an engine with detailed verbosity, all about it."""
    if isinstance(layer, str):
        return Layer(layer, "", "", ())
    outputs = tuple(str(out.get("Format/Datatype", "")) for out in layer.get("Outputs", []) if isinstance(out, dict))
    _, marked, rest = str(layer.get("Metadata", "")).partition("[ONNX Layer: ")
    node = rest.partition("]")[0] if marked else ""
    return Layer(str(layer.get("Name", "")), str(layer.get("LayerType", "")), node, outputs)
