"""ONNX graphs of a few nodes."""

from __future__ import annotations

from onnx import TensorProto, helper


def means(*, batch: str | int = "batch", modality: bool = False, operator: str = "Relu") -> bytes:
    """`pixels` [batch, 3, 8, 4] -> `coordinates` [batch, 3], the mean of each colour, through `operator`."""
    inputs = [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [batch, 3, 8, 4])]
    if modality:
        inputs.append(helper.make_tensor_value_info("modality", TensorProto.INT64, [batch]))
    nodes = [
        helper.make_node("Shape", ["pixels"], ["sizes"], name="sizes"),
        helper.make_node(operator, ["pixels"], ["live"], name="live"),
        helper.make_node("GlobalAveragePool", ["live"], ["pooled"], name="pool"),
        helper.make_node("Flatten", ["pooled"], ["coordinates"], name="flat"),
    ]
    output = helper.make_tensor_value_info("coordinates", TensorProto.FLOAT, [batch, 3])
    graph = helper.make_graph(nodes, "means", inputs, [output])
    return bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()
    )
