"""ONNX graphs, TensorRT engines and the bundle that a device needs."""
