"""INT8: which layers stand it, which are left out, and graphs for TensorRT, ONNX Runtime and OpenVINO."""
