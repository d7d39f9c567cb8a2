"""A float32 graph with its numbers in 16 bits, but for chosen nodes: strongly typed, casts at the borders only.

A node computes either all in float32 or all in 16 bits. A tensor is of the type of the node that makes it; where a node
of the other type reads it, it is cast, once for all its readers. So nothing goes from float32 to 16 bits and straight
back, which would throw away what a kept node is kept for. Names of tensors stay.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper
from onnx.defs import OpSchema

from export.graph.lower import written_opset
from export.precision.borders import first_nodes, head_nodes, named_once
from export.precision.numbers import HALF_TYPES, Dtype, Floats, HalfType, float_values
from export.precision.wiring import MOVING, consumers, element_types, inferred, lift_constants, producers

FLOAT = TensorProto.FLOAT
FormalParameter = OpSchema.FormalParameter
_LOST = 8.0
"""Weights may be rounded off by this many times what numbers of ordinary size are, in the root mean square."""
_ANY_FLOAT = frozenset({"Cast", "Shape", "Size"})
"""Operators that read floating point of whatever type."""


@dataclass(frozen=True)
class Kept:
    """A node that stays in float32.

    Attributes:
        node, op: its name and operator.
        why: in words.
    """

    node: str
    op: str
    why: str

    def __str__(self) -> str:
        return f"{self.op} {self.node}: {self.why}"


def must_keep(model: ModelProto, dtype: Dtype = "fp16") -> dict[str, Kept]:
    """Nodes of a float32 graph that stay in float32 whatever is asked, by name, in graph order.

    These are the two ends, operators that ONNX does not define for the type in this opset, and nodes whose weights are
    beyond its range or vanish in it. Nodes without floating point are of neither type, and not among them.
    """
    return Halving(model, dtype).required


def to_half(model: ModelProto, keep: Collection[str] = (), dtype: Dtype = "fp16") -> ModelProto:
    """Converts a float32 graph.

    Args:
        model: float32, nodes named, without branches.
        keep: names of nodes that stay in float32, beside those of `must_keep`.
        dtype: "fp16", "bf16".

    Returns:
        A strongly typed graph of the same opset with types of all tensors declared; inputs and outputs float32.

    Raises:
        ValueError: `keep` names a node that is not there; or see `inferred`.
    """
    halving = Halving(model, dtype)
    return halving.convert(halving.wide(keep))


class Halving:
    """A float32 graph that is read once and converted as often as is asked.

    Args:
        model: float32, nodes named, without branches. dtype: of what is not kept.

    Attributes:
        model: the same with constants among the weights and types of all tensors declared.
        half: the 16-bit type.
        required: nodes that stay in float32 whatever is asked, by name, in graph order.
    """

    def __init__(self, model: ModelProto, dtype: Dtype) -> None:
        self.model, self.half = inferred(lift_constants(model)), HALF_TYPES[dtype]
        self._nodes = named_once(self.model)
        self._types = element_types(self.model)
        self.required = self._require()

    def wide(self, keep: Collection[str]) -> tuple[str, ...]:
        """Names of all nodes that compute in float32 if these are kept, in graph order."""
        unknown = sorted(set(keep) - self._nodes.keys())
        if unknown:
            raise ValueError(f"{self.model.graph.name}: no node {unknown[0]!r} to keep in float32")
        chosen = set(keep) | self.required.keys()
        chosen |= _moved_between(self.model, chosen)
        return tuple(name for name, node in self._nodes.items() if name in chosen and _is_float(node, self._types))

    def convert(self, wide: Collection[str]) -> ModelProto:
        """The typed graph in which exactly these, found by `wide`, compute in float32."""
        return inferred(_Conversion(self.model, frozenset(wide), self.half).graph())

    def _require(self) -> dict[str, Kept]:
        model, half, opset = self.model, self.half, written_opset(self.model)
        weights = {tensor.name: tensor for tensor in model.graph.initializer if tensor.data_type == FLOAT}
        lost = {name: why for name, tensor in weights.items() if (why := _lost(float_values(tensor), half))}
        first, head = first_nodes(model), head_nodes(model)
        kept: dict[str, Kept] = {}
        for node in model.graph.node:
            if not _is_float(node, self._types):
                continue
            why = (
                "normalises the pixels" if node.name in first
                else "head" if node.name in head
                else next((f"{name} {lost[name]}" for name in node.input if name in lost), None)
                or _undefined(node, self._types, half, opset)
            )  # fmt: skip
            if why:
                kept[node.name] = Kept(node.name, node.op_type, why)
        return kept


class _Conversion:
    """Rewrites a graph whose types are inferred.

    Args:
        wide: names of nodes in float32, those that make the outputs among them.
        half: the type of the others.
    """

    def __init__(self, model: ModelProto, wide: Collection[str], half: HalfType) -> None:
        self._model, self._wide, self._half = model, wide, half
        self._types, self._opset = element_types(model), written_opset(model)
        self._weights = {tensor.name: tensor for tensor in model.graph.initializer if tensor.data_type == FLOAT}
        making = producers(model.graph)
        self._half_made = {
            name for name, node in making.items() if self._types[name] == FLOAT and self._computes_half(node)
        }
        self._asked: dict[str, set[int]] = {}
        """Of each float tensor, in which types it is read."""
        for node in model.graph.node:
            for place, name in enumerate(node.input):
                if self._types.get(name) == FLOAT:
                    self._asked.setdefault(name, set()).add(self._read_type(node, place))

    def graph(self) -> ModelProto:
        """The typed graph, types of inner tensors not declared yet."""
        nodes: list[NodeProto] = []
        for value in self._model.graph.input:
            nodes += self._casts(value.name)
        for node in self._model.graph.node:
            typed = NodeProto()
            typed.CopyFrom(node)
            typed.input[:] = [self._reads(node, place, name) for place, name in enumerate(node.input)]
            if self._computes_half(node):
                self._retype(typed)
            nodes.append(typed)
            for name in node.output:
                nodes += self._casts(name)
        converted = ModelProto()
        converted.CopyFrom(self._model)
        for field, values in (("node", nodes), ("initializer", self._initializers()), ("value_info", [])):
            converted.graph.ClearField(field)
            getattr(converted.graph, field).extend(values)
        return converted

    def _computes_half(self, node: NodeProto) -> bool:
        return node.name not in self._wide and _is_float(node, self._types)

    def _read_type(self, node: NodeProto, place: int) -> int:
        """Of which type a node reads a float32 tensor of the original graph."""
        name = node.input[place]
        if node.op_type in _ANY_FLOAT:
            return self._made_type(name)
        if not self._computes_half(node) or not _allows(node, place, self._half, self._opset):
            return FLOAT
        return self._half.code

    def _made_type(self, name: str) -> int:
        return self._half.code if name in self._half_made else FLOAT

    def _reads(self, node: NodeProto, place: int, name: str) -> str:
        """The name under which a node finds an input in the type that it needs."""
        if self._types.get(name) != FLOAT:
            return name
        wanted = self._read_type(node, place)
        if name in self._weights:
            return self._other(name) if wanted != FLOAT and FLOAT in self._asked[name] else name
        return name if wanted == self._made_type(name) else self._other(name)

    def _other(self, name: str) -> str:
        """Name of the same tensor in the type of which it is not made; weights are made float32."""
        return f"{name}.{'fp32' if name in self._half_made else self._half.name}"

    def _casts(self, name: str) -> list[NodeProto]:
        made = self._made_type(name)
        return [
            helper.make_node("Cast", [name], [self._other(name)], f"{self._other(name)}/cast", to=code)
            for code in sorted(self._asked.get(name, set()) - {made})
        ]

    def _retype(self, node: NodeProto) -> None:
        """Attributes of a node that makes 16 bits now."""
        for attribute in node.attribute:
            if attribute.name in ("to", "dtype", "output_dtype") and attribute.i == FLOAT:
                attribute.i = self._half.code
            elif attribute.HasField("t") and attribute.t.data_type == FLOAT:
                attribute.t.CopyFrom(self._half.encode(attribute.t.name, float_values(attribute.t)))
        if node.op_type == "ConstantOfShape" and not node.attribute:
            node.attribute.append(helper.make_attribute("value", self._half.encode("", np.zeros(1, np.float32))))

    def _initializers(self) -> list[TensorProto]:
        tensors: list[TensorProto] = []
        for tensor in self._model.graph.initializer:
            asked = self._asked.get(tensor.name, set()) if tensor.name in self._weights else {tensor.data_type}
            if tensor.name not in self._weights or FLOAT in asked or not asked:
                tensors.append(tensor)
            if self._half.code in asked and tensor.name in self._weights:
                name = self._other(tensor.name) if FLOAT in asked else tensor.name
                tensors.append(self._half.encode(name, float_values(tensor)))
        return tensors


def _is_float(node: NodeProto, types: Mapping[str, int]) -> bool:
    """Whether a node makes float32, or compares it; a Shape or a Cast to integers reads whatever is there."""
    if any(types.get(name) == FLOAT for name in node.output if name):
        return True
    return node.op_type not in _ANY_FLOAT and any(types.get(name) == FLOAT for name in node.input)


def _undefined(node: NodeProto, types: Mapping[str, int], half: HalfType, opset: int) -> str | None:
    """Why a node cannot compute in a type: ONNX does not define its operator for it."""
    schema = _schema(node, opset)
    if schema is None:
        return f"{node.domain or 'this opset'} has no {node.op_type} that ONNX knows"
    allowed = {constraint.type_param_str: constraint.allowed_type_strs for constraint in schema.type_constraints}
    for place, name in enumerate(node.output):
        if types.get(name) == FLOAT and half.tensor not in allowed.get(_parameter(schema.outputs, place).type_str, ()):
            return f"{node.op_type} is not defined for {half.name} in opset {opset}"
    data = [place for place, name in enumerate(node.input) if types.get(name) == FLOAT]
    if node.op_type not in _ANY_FLOAT and data and not any(_allows(node, place, half, opset) for place in data):
        return f"{node.op_type} is not defined for {half.name} in opset {opset}"
    return None


def _allows(node: NodeProto, place: int, half: HalfType, opset: int) -> bool:
    """Whether an input may be of the type; scales of a Resize, for one, are float32 always."""
    schema = _schema(node, opset)
    assert schema is not None
    allowed = {constraint.type_param_str: constraint.allowed_type_strs for constraint in schema.type_constraints}
    return half.tensor in allowed.get(_parameter(schema.inputs, place).type_str, ())


def _schema(node: NodeProto, opset: int) -> OpSchema | None:
    if node.domain not in ("", "ai.onnx"):
        return None
    try:
        return onnx.defs.get_schema(node.op_type, opset, "")
    except onnx.defs.SchemaError:
        return None


def _parameter(parameters: Sequence[FormalParameter], place: int) -> FormalParameter:
    """The formal one of a place; the last may stand for any number."""
    return parameters[min(place, len(parameters) - 1)]


def _lost(values: Floats, half: HalfType) -> str | None:
    """What is wrong with weights in this type; None: nothing."""
    if not values.size or not np.isfinite(values).all():
        return None  # an infinite mask stays infinite
    rounded = half.round(values)
    if not np.isfinite(rounded).all():
        return f"holds {np.abs(values).max():.4g}, beyond {half.name}"
    size = math.sqrt(np.vdot(values, values))
    error = math.sqrt(np.square(values - rounded).sum(dtype=np.float64))
    if error > _LOST * half.roundoff * size:
        return f"loses {100 * error / size:.2g} % in {half.name}, its values are too small"
    return None


def _moved_between(model: ModelProto, wide: Collection[str]) -> set[str]:
    """Nodes that only move values from float32 nodes to float32 nodes: casts there and back would round in between."""
    graph, types = model.graph, element_types(model)
    making, reading = producers(graph), consumers(graph)
    outputs = {value.name for value in graph.output}
    constants = {tensor.name for tensor in graph.initializer}
    moving = [n for n in graph.node if n.op_type in MOVING and n.name not in wide and _is_float(n, types)]
    from_wide: set[str] = set()
    for node in moving:
        makers = [making.get(name) for name in node.input if types.get(name) == FLOAT and name not in constants]
        if all(maker is None or maker.name in wide or maker.name in from_wide for maker in makers):
            from_wide.add(node.name)
    to_wide: set[str] = set()
    for node in reversed(moving):
        readers = [reader for name in node.output for reader in reading.get(name, [])]
        reached = all(
            reader.name in wide or reader.name in to_wide or not _is_float(reader, types) for reader in readers
        )
        if reached and (readers or outputs & set(node.output)):
            to_wide.add(node.name)
    return from_wide & to_wide
