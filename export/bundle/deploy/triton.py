"""Configuration for Triton Inference Server.

Keys and values: model_configuration.md of triton-inference-server/server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def config_pbtxt(details: Mapping[str, Any]) -> str:
    """`config.pbtxt` of the engine as a model called "student": requests are joined to batches."""
    profile = details["profile"]
    shape = ", ".join(map(str, details["input"]["shape"][1:]))
    modality = details["input"]["modality"]
    second = "" if modality is None else f"""  ,{{
    # {", ".join(f"{code}: {name}" for code, name in enumerate(modality["codes"]))}. TensorRT 8 has it as TYPE_INT32.
    name: "{modality["name"]}"
    data_type: TYPE_INT64
    dims: [ 1 ]
    reshape: {{ shape: [ ] }}
  }}
"""  # fmt: skip
    preferred = sorted({profile["opt"], profile["max"]})
    return f"""# Model repository: student/config.pbtxt and student/1/model.plan, the engine that build.sh makes.
# Without TensorRT: backend "onnxruntime", student/1/model.onnx from the bundle. Not run on hardware yet.
# RGB pixels from 0 to 255; the embedding is not normalised: the client divides it by its length.
name: "student"
backend: "tensorrt"
default_model_filename: "model.plan"
max_batch_size: {profile["max"]}
input [
  {{
    name: "{details["input"]["name"]}"
    data_type: TYPE_FP32
    dims: [ {shape} ]
  }}
{second}]
output [
  {{
    name: "{details["output"]["name"]}"
    data_type: TYPE_FP32
    dims: [ {details["output"]["dim"]} ]
  }}
]
dynamic_batching {{
  preferred_batch_size: [ {", ".join(map(str, preferred))} ]
  max_queue_delay_microseconds: 2000
}}
instance_group [
  {{
    count: 1
    kind: KIND_GPU
  }}
]
"""
