"""What a graph computes where every number really is of the type that the graph declares.

ONNX Runtime's kernels for the CPU compute float16 in float32 and fuse what lies between, so that a tensor that
overflows on the device stays finite there. Here the graph is written in float32, and each tensor that is declared
float16 or bfloat16 is rounded to that type after the node that makes it; beyond 65504 float16 is infinite. Inside a
node sums are kept in float32, as tensor cores do. That is what a strongly typed engine stores between its layers; its
fused kernels may be kinder, never stricter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from export.crops import Crops
from export.precision.numbers import HALF_CODES, Floats, float_tensor, float_values
from export.precision.wiring import MOVING, element_types, float_outputs, inferred
from export.session import COORDINATES, feeds, open_session

_TYPE_ATTRIBUTES = frozenset({"dtype", "output_dtype"})
"""Attributes that name a node's type of output. A Cast's `to` is not among them: casting is what it does."""
_COMPUTE_ATTRIBUTES = frozenset({"stash_type", "softmax_precision", "precision"})
"""Attributes that name the type in which a node computes within."""


def spell_out(model: ModelProto) -> ModelProto:
    """A float32 graph that rounds where `model` (float16, bfloat16, mixed, int8 between Q and DQ) declares it.

    Inputs and outputs are float32, names of tensors stay. ONNX Runtime must run it without optimisations.

    Raises:
        ValueError: a node computes in 16 bits within itself, by an attribute; or see `inferred`.
    """
    model = inferred(model)
    types = element_types(model)
    graph = model.graph
    nodes: list[NodeProto] = []
    for value in graph.input:
        if value.type.tensor_type.elem_type in HALF_CODES:
            _declare_float(value)
            _read_as(graph.node, value.name, f"{value.name}/rounded")
            nodes += _rounding(value.name, f"{value.name}/rounded", types[value.name])
    for node in graph.node:
        nodes += _spelt(node, types)
    for value in graph.output:
        if value.type.tensor_type.elem_type in HALF_CODES:
            _declare_float(value)
    weights = [
        float_tensor(tensor.name, float_values(tensor)) if tensor.data_type in HALF_CODES else tensor
        for tensor in graph.initializer
    ]
    spelt = ModelProto()
    spelt.CopyFrom(model)
    for field, values in (("node", nodes), ("initializer", weights), ("value_info", [])):
        spelt.graph.ClearField(field)
        getattr(spelt.graph, field).extend(values)
    return spelt


class TypedEvaluator:
    """Runs a typed graph with every tensor rounded to its declared type.

    Args:
        model: float32, float16, bfloat16, mixed, or int8 with Q and DQ.
        threads: of one operator; 0: as many as there are cores.
    """

    def __init__(self, model: ModelProto, threads: int = 0) -> None:
        self._model = spell_out(model)
        self._threads = threads
        self._session = open_session(self._model, threads=threads, optimised=False)
        self._inputs = [value.name for value in self._session.get_inputs()]

    def run(self, crops: Crops, *, batch: int = 16) -> Floats:
        """Coordinates float32 [n, k]; where the declared types overflow, they are infinite or not a number."""
        return np.concatenate([self.run_feeds(feeds(part, self._inputs)) for part in crops.batches(batch)])

    def run_feeds(self, values: Mapping[str, NDArray[Any]]) -> Floats:
        """The same of the graph's inputs by name, for graphs that do not read images."""
        rows: Floats = self._session.run([COORDINATES], dict(values))[0]
        return rows

    def tensors(self, crops: Crops, names: Iterable[str] | None = None) -> dict[str, Floats]:
        """float32 values of tensors, in graph order, in one batch.

        Args:
            crops: few: every tensor named is held.
            names: which; all floating-point tensors that nodes make, if None.
        """
        every = float_outputs(inferred(self._model), {TensorProto.FLOAT})
        wanted = set(every if names is None else names)
        chosen = [name for name in every if name in wanted and not name.endswith("/exact")]
        session = open_session(with_outputs(self._model, chosen), threads=self._threads, optimised=False)
        found = session.run(chosen, feeds(crops, self._inputs))
        return dict(zip(chosen, found, strict=True))


def with_outputs(model: ModelProto, names: Iterable[str]) -> ModelProto:
    """A copy that puts out these float32 tensors, too."""
    model_too = ModelProto()
    model_too.CopyFrom(model)
    there = {value.name for value in model.graph.output}
    model_too.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names if name not in there
    )
    return model_too


def _spelt(node: NodeProto, types: Mapping[str, int]) -> list[NodeProto]:
    """A node in float32, and the rounding of what it makes."""
    node_too = NodeProto()
    node_too.CopyFrom(node)
    if node.op_type == "CastLike":  # its type was that of a tensor which is float32 now
        node_too = helper.make_node("Cast", node.input[:1], node.output, node.name, to=types[node.output[0]])
    for attribute in node_too.attribute:
        _spell_attribute(node, attribute)
    after: list[NodeProto] = []
    for place, name in enumerate(node.output):
        if not name or types[name] not in HALF_CODES or node.op_type in MOVING:
            continue
        if node_too.op_type == "Cast":  # rounds by itself, also what was an integer
            node_too.output[place] = f"{name}/half"
            after += _rounding(f"{name}/half", name, types[name])[1:]
        else:
            node_too.output[place] = f"{name}/exact"
            after += _rounding(f"{name}/exact", name, types[name])
    return [node_too, *after]


def _spell_attribute(node: NodeProto, attribute: AttributeProto) -> None:
    if attribute.name in _TYPE_ATTRIBUTES and attribute.i in HALF_CODES:
        attribute.i = TensorProto.FLOAT
    elif attribute.name in _COMPUTE_ATTRIBUTES and attribute.i in HALF_CODES:
        raise ValueError(
            f"{node.op_type} {node.name!r} computes in {HALF_CODES[attribute.i].name} within itself "
            f"({attribute.name}); what overflows there cannot be seen, so set it to float32"
        )
    elif attribute.HasField("t") and attribute.t.data_type in HALF_CODES:
        attribute.t.CopyFrom(float_tensor(attribute.t.name, float_values(attribute.t)))


def _rounding(source: str, target: str, code: int) -> list[NodeProto]:
    """`target` is `source` rounded to a type."""
    half = source if source == f"{target}/half" else f"{target}/half"
    return [
        helper.make_node("Cast", [source], [half], f"{target}/round", to=code),
        helper.make_node("Cast", [half], [target], f"{target}/widen", to=TensorProto.FLOAT),
    ]


def _read_as(nodes: Iterable[NodeProto], name: str, new: str) -> None:
    for node in nodes:
        node.input[:] = [new if read == name else read for read in node.input]


def _declare_float(value: ValueInfoProto) -> None:
    value.type.tensor_type.elem_type = TensorProto.FLOAT
