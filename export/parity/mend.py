"""Keep in fp32 what leads to the tensor that departs first: often a Softmax over large logits, and little else."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import onnx
from onnx import NodeProto

from export.crops import Crops
from export.precision.departs import first_departure
from export.precision.halve import to_half
from export.precision.numbers import Dtype
from export.precision.wiring import element_types, inferred, producers

MENDS = 6
"""How many departing tensors are mended; each takes an evaluation of every tensor."""
_CROSSINGS = 3


def mended(
    fp32: onnx.ModelProto, half: onnx.ModelProto, kept: Collection[str], crops: Crops, dtype: Dtype, *, threads: int = 0
) -> Iterator[tuple[str, onnx.ModelProto, tuple[str, ...]]]:
    """Graphs that keep ever more: (the node that departed, the graph, all nodes in fp32).

    Args:
        fp32: the original. half: made from it, with `kept` in fp32. crops: few; what departs is looked for with them.
        dtype: of what is not kept. threads: of the evaluation.
    """
    wide, model = set(kept), half
    making = producers(fp32.graph)
    for _ in range(MENDS):
        departure = first_departure(model, fp32, crops, threads=threads)
        if departure is None or departure.tensor not in making:
            return
        node = making[departure.tensor]
        added = next((new for n in range(_CROSSINGS + 1) if (new := leading_to(fp32, node, n) - wide)), set())
        if not added:
            return
        wide |= added
        model = to_half(fp32, wide, dtype)
        yield node.name, model, nodes_in_fp32(model, fp32)


def nodes_in_fp32(model: onnx.ModelProto, fp32: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the nodes of the fp32 graph that make fp32 in a typed one, too, in its order."""
    types = element_types(inferred(model))
    made = {n.name for n in model.graph.node if n.output and types.get(n.output[0]) == onnx.TensorProto.FLOAT}
    return tuple(node.name for node in fp32.graph.node if node.name in made)


def leading_to(model: onnx.ModelProto, node: NodeProto, crossings: int = 0) -> set[str]:
    """Names of a node and of those that lead to it, back to the residual stream.

    Args:
        model: an fp32 graph. node: of it. crossings: how many sums of the residual stream are gone through; where two
            tensors that nodes make are added, there the stream takes up a branch.
    """
    making = producers(model.graph)
    left = {node.name: crossings}
    front = [node]
    while front:
        at = front.pop()
        for name in at.input:
            before = making.get(name)
            if before is None:
                continue
            rest = left[at.name] - _is_stream(before, making)
            if rest >= 0 and left.get(before.name, -1) < rest:
                left[before.name] = rest
                front.append(before)
    return set(left)


def _is_stream(node: NodeProto, making: dict[str, NodeProto]) -> bool:
    return node.op_type == "Add" and all(name in making and making[name].op_type != "Constant" for name in node.input)
