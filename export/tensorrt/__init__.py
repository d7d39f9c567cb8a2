"""`export trt`: TensorRT engines built in the cloud. What builds and runs them is `edge_runtime.engines.tensorrt`."""
