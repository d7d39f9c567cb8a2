"""How the nodes of a graph hang together, and of which type its tensors are."""

from __future__ import annotations

from collections.abc import Iterable

import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto

MOVING = frozenset(
    {
        *("Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements", "GatherND", "Identity"),
        *("MaxPool", "Pad", "Relu", "Reshape", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose"),
        "Unsqueeze",
    }
)
"""Operators that put out only values that they take in (or 0): nothing is rounded."""
_FLOATING = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE})


def inferred(model: ModelProto) -> ModelProto:
    """A copy in which type and shape of every tensor are declared.

    Raises:
        ValueError: a type cannot be told, or there are graphs within the graph (If, Loop, Scan).
    """
    for node in model.graph.node:
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise ValueError(f"{node.op_type} {node.name!r} holds a graph of its own; branches and loops are not read")
    try:
        found = onnx.shape_inference.infer_shapes(_skeleton(model), check_type=True, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise ValueError(f"{model.graph.name}: types cannot be inferred ({' '.join(str(error).split())})") from error
    declared = ModelProto()
    declared.CopyFrom(model)
    del declared.graph.value_info[:]
    declared.graph.value_info.extend(found.graph.value_info)
    return declared


def _skeleton(model: ModelProto) -> ModelProto:
    """A copy with shapes of weights but not their values, which types and shapes do not depend on."""
    bare = ModelProto()
    bare.ir_version = model.ir_version
    bare.opset_import.extend(model.opset_import)
    graph = bare.graph
    graph.name = model.graph.name
    for field in ("node", "input", "output", "sparse_initializer"):
        getattr(graph, field).extend(getattr(model.graph, field))
    for tensor in model.graph.initializer:
        if tensor.data_type in _FLOATING:
            graph.initializer.add(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        else:
            graph.initializer.append(tensor)
    return bare


def element_types(model: ModelProto) -> dict[str, int]:
    """ONNX's element type of every tensor of an inferred model."""
    graph = model.graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        types[value.name] = value.type.tensor_type.elem_type
    return types


def static_sizes(model: ModelProto) -> dict[str, int]:
    """Elements of every tensor of an inferred model, for a batch of one: axes of unknown length count as 1."""
    graph = model.graph
    sizes: dict[str, int] = {}
    for value in (*graph.input, *graph.output, *graph.value_info):
        size = 1
        for axis in value.type.tensor_type.shape.dim:
            size *= axis.dim_value if axis.HasField("dim_value") else 1
        sizes[value.name] = size
    return sizes


def producers(graph: GraphProto) -> dict[str, NodeProto]:
    """Of each tensor that a node makes, the node."""
    return {name: node for node in graph.node for name in node.output if name}


def consumers(graph: GraphProto) -> dict[str, list[NodeProto]]:
    """Of each tensor, the nodes that read it, in graph order."""
    reading: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in dict.fromkeys(node.input):
            reading.setdefault(name, []).append(node)
    return reading


def float_outputs(model: ModelProto, codes: Iterable[int]) -> list[str]:
    """Names of the tensors of these types that nodes of an inferred model make, in graph order."""
    types, wanted = element_types(model), set(codes)
    return [name for node in model.graph.node for name in node.output if name and types[name] in wanted]


def lift_constants(model: ModelProto) -> ModelProto:
    """A copy in which constants stand among the weights."""
    lifted = ModelProto()
    lifted.CopyFrom(model)
    graph, nodes = lifted.graph, []
    for node in model.graph.node:
        value = next((a.t for a in node.attribute if a.name == "value"), None) if node.op_type == "Constant" else None
        if value is None:
            nodes.append(node)
            continue
        tensor = TensorProto()
        tensor.CopyFrom(value)
        tensor.name = node.output[0]
        graph.initializer.append(tensor)
    del graph.node[:]
    graph.node.extend(nodes)
    return lifted
