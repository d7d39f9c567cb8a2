"""An ONNX graph read into a TensorRT network."""

from __future__ import annotations

from typing import Any

from edge_runtime.engines.tensorrt.messages import Messages
from edge_runtime.engines.tensorrt.modules import called
from edge_runtime.engines.tensorrt.operators import who_has
from reid.errors import UserError


def parse_graph(
    trt: Any, network: Any, logger: Any, data: bytes, name: str, messages: Messages, *, flags: tuple[str, ...] = ()
) -> Any:
    """Read a graph into `network`.

    Args:
        data: the ONNX file. name: it is called in messages. flags: of OnnxParserFlag, by name.

    Returns:
        The parser, which must live as long as the network: it owns the weights.

    Raises:
        UserError: the parser refuses it: the node, its operator, the parser's words, and which TensorRT has it.
    """
    parser = trt.OnnxParser(network, logger)
    for flag in flags:
        parser.set_flag(getattr(trt.OnnxParserFlag, flag))
    # Some versions take an empty file, or an opset that they do not know, for an empty network and say nothing.
    if not parser.parse(data) or not network.num_outputs:
        raise UserError(f"{name}: {_complaint(parser, data, trt, messages)}")
    return parser


def _complaint(parser: Any, data: bytes, trt: Any, messages: Messages) -> str:
    version = called(trt)
    if not parser.num_errors:
        words = f" ({messages.errors[-1]})" if messages.errors else ""
        return f"{version} reads no network from it{words}; is it whole? Export it again"
    error = parser.get_error(0)
    words = " ".join(str(error.desc()).split())[:400]
    if error.node() < 0:
        return f"{version} cannot read it ({words}); is it whole? Export it again"
    node, operator = blamed(error, data)
    hint = who_has(operator) or "export it again, or with another --precision"
    return f"{version} refuses node '{node}' ({operator}): {words}; {hint}"


def blamed(error: Any, data: bytes) -> tuple[str, str]:
    """Name and operator of the node that an error is about; 8.6 gives but its number."""
    if hasattr(error, "node_name") and error.node_operator():
        return error.node_name(), error.node_operator()
    try:
        import onnx  # not on a device, where the node keeps its number

        node = onnx.load_model_from_string(data).graph.node[error.node()]
    except Exception:  # no onnx; protobuf's own classes; or the number is one of a subgraph
        return f"number {error.node()}", "unknown operator"
    return node.name, node.op_type
