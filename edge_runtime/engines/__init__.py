"""What computes a bundle's graphs: ONNX Runtime, OpenVINO or TensorRT, behind one interface."""

from edge_runtime.engines.engine import Engine

__all__ = ["Engine"]
