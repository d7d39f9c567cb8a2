"""From a student to its fp32 ONNX graph."""
