"""What leads to a node, back to the stream, on a graph that is drawn by hand."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.parity.floor import with_rounded_weights
from export.parity.mend import leading_to, nodes_in_fp32


@pytest.fixture
def block() -> onnx.ModelProto:
    """embed -> norm1 -> query, key -> logits -> softmax -> mix -> sum1 (with embed) -> norm2 -> mlp -> bias -> sum2."""

    def matmul(name: str, source: str) -> onnx.NodeProto:
        return helper.make_node("MatMul", [source, "w"], [name], name)

    nodes = [
        matmul("embed", "x"),
        helper.make_node("LayerNormalization", ["embed", "g"], ["norm1"], "norm1"),
        matmul("query", "norm1"),
        matmul("key", "norm1"),
        helper.make_node("MatMul", ["query", "key"], ["logits"], "logits"),
        helper.make_node("Softmax", ["logits"], ["softmax"], "softmax"),
        helper.make_node("MatMul", ["softmax", "norm1"], ["mix"], "mix"),
        helper.make_node("Add", ["embed", "mix"], ["sum1"], "sum1"),
        helper.make_node("LayerNormalization", ["sum1", "g"], ["norm2"], "norm2"),
        matmul("mlp", "norm2"),
        helper.make_node("Add", ["mlp", "g"], ["bias"], "bias"),
        helper.make_node("Add", ["sum1", "bias"], ["sum2"], "sum2"),
        matmul("out", "sum2"),
    ]
    weights = [
        numpy_helper.from_array(np.eye(4, dtype=np.float32) / 3, "w"),
        numpy_helper.from_array(np.ones(4, np.float32), "g"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4, 4]) for name in ("x", "out")]
    graph = helper.make_graph(nodes, "block", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def node(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    return next(each for each in model.graph.node if each.name == name)


def test_what_leads_to_a_node_ends_at_the_stream(block: onnx.ModelProto) -> None:
    assert leading_to(block, node(block, "softmax")) == {"softmax", "logits", "query", "key", "norm1", "embed"}
    assert leading_to(block, node(block, "bias")) == {"bias", "mlp", "norm2"}
    assert leading_to(block, node(block, "out")) == {"out"}


def test_sums_of_the_stream_are_gone_through_as_often_as_is_allowed(block: onnx.ModelProto) -> None:
    assert leading_to(block, node(block, "out"), 1) == {"out", "sum2", "bias", "mlp", "norm2"}
    assert leading_to(block, node(block, "out"), 2) == {each.name for each in block.graph.node}


def test_nodes_in_fp32_are_those_that_make_fp32(block: onnx.ModelProto) -> None:
    assert nodes_in_fp32(block, block) == tuple(each.name for each in block.graph.node)
    typed = onnx.ModelProto()
    typed.CopyFrom(block)
    place = [each.name for each in typed.graph.node].index("softmax")
    softmax, mix = typed.graph.node[place], typed.graph.node[place + 1]
    softmax.input[0], mix.input[0] = "logits.fp16", "softmax.fp32"
    casts = [
        helper.make_node("Cast", ["logits"], ["logits.fp16"], "narrow", to=TensorProto.FLOAT16),
        helper.make_node("Cast", ["softmax"], ["softmax.fp32"], "widen", to=TensorProto.FLOAT),
    ]
    nodes = list(typed.graph.node)
    nodes[place:place] = casts[:1]
    nodes[place + 2 : place + 2] = casts[1:]
    del typed.graph.node[:]
    typed.graph.node.extend(nodes)
    assert set(nodes_in_fp32(block, block)) - set(nodes_in_fp32(typed, block)) == {"softmax"}


def test_rounded_weights_are_those_of_the_half_graph_and_nothing_else_changes(block: onnx.ModelProto) -> None:
    half = onnx.ModelProto()
    half.graph.initializer.append(numpy_helper.from_array(np.zeros((4, 4), np.float16), "w.fp16"))
    block.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.full(4, 0.1, np.float32), "g"))
    model = with_rounded_weights(block, half)
    (w, g) = model.graph.initializer
    exact = np.eye(4, dtype=np.float32) / 3
    np.testing.assert_array_equal(numpy_helper.to_array(w), exact.astype(np.float16).astype(np.float32))
    np.testing.assert_array_equal(numpy_helper.to_array(g), np.full(4, 0.1, np.float32))
    assert [each.name for each in model.graph.node] == [each.name for each in block.graph.node]
    np.testing.assert_array_equal(numpy_helper.to_array(block.graph.initializer[0]), exact)
