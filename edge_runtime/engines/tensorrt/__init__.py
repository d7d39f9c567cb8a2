"""TensorRT engines, with whichever TensorRT the host has: built in the cloud, or by the device at its first start.

One builder works over the Python module that it is handed: `tensorrt` 8.6, 10 and 11, or `tensorrt_rtx_bindings`, which
builds without a GPU. What a module can do is asked of the module (`hasattr`), never of its version number.
"""
