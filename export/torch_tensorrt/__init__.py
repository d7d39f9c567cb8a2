"""A student through PyTorch's own exporter: an ExportedProgram, and with Torch-TensorRT engines."""
